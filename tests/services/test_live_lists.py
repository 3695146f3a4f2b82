"""The lists of `encore live` by hand, and against those of the run for the same data."""

from collections.abc import Sequence
from typing import Any

import pytest

from database.engine import transaction
from database.migrate import upgrade
from encore.settings import load_settings
from recommender.artifact import save
from recommender.live.job import loader
from recommender.publish import publish
from tests.live import does, execute, list_of, make_run, register_someone, work_off
from tests.models import model_of
from tests.programs import encore

pytestmark = pytest.mark.services

# Two tastes at right angles: Y'Y is 2 on the diagonal. Confidence 1 + weight, regularisation 1
# for each item that a listener likes.
FACTORS = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (1.0, 0.0), "d": (0.0, 1.0)}


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url)
    register_someone(database_url)
    execute(
        database_url,
        "INSERT INTO feature_settings VALUES ('feature_affinity_half_life_days', 30)",
    )
    execute(database_url, "INSERT INTO items (item_id, title) VALUES ('a', 'Track A')")
    return database_url


def publish_model(url: str) -> None:
    run = make_run(url, rank=2, alpha=1.0, regularization=1.0)
    with transaction(url) as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM data_to) FROM model_runs WHERE model_run_id = %s", (run,)
        )
        ((now_s,),) = cursor.fetchall()
        save(cursor, run, model_of(FACTORS, alpha=1.0, regularization=1.0, now_s=float(now_s)))
    publish(url, run, keep=5)


def fold(url: str) -> None:
    work_off(url, loader(load_settings()))


def rows(url: str, user: str) -> Sequence[tuple[Any, ...]]:
    return execute(
        url,
        "SELECT item_id, round(score::numeric, 4)::float8, source, reason "
        "FROM current_recommendations WHERE user_id = %s ORDER BY rank",
        user,
    )


def test_a_list_is_the_half_step_by_hand_without_what_is_known(url: str) -> None:
    publish_model(url)
    does(url, "ada", "a", signal=1.0)
    fold(url)
    # x1 = (1 + 1) / (2 + 1 + 1): 1/2
    assert rows(url, "ada") == [
        ("c", 0.5, "personal", "because of Track A"),
        ("b", 0.0, "personal", "because of Track A"),
        ("d", 0.0, "personal", "because of Track A"),
    ]
    does(url, "ada", "b", signal=3.0)
    fold(url)
    # x = (2 / (2 + 1 + 2), 4 / (2 + 3 + 2)): (2/5, 4/7)
    assert rows(url, "ada") == [
        ("d", 0.5714, "personal", "because of b"),
        ("c", 0.4, "personal", "because of Track A"),
    ]


def test_a_signal_counts_as_of_the_newest_of_the_run_and_the_listener(url: str) -> None:
    publish_model(url)
    does(url, "ada", "a", signal=2.0, at="2026-04-01 12:00+00")  # 1 on May 1st
    does(url, "bob", "a", signal=4.0, at="2026-04-01 12:00+00")  # 1 on May 31st
    does(url, "bob", "b", signal=3.0, at="2026-05-31 12:00+00")
    fold(url)
    assert rows(url, "ada")[0][:2] == ("c", 0.5)
    assert [row[:2] for row in rows(url, "bob")] == [("d", 0.5714), ("c", 0.4)]


def test_an_event_of_the_future_makes_nothing_older_than_it_is(url: str) -> None:
    publish_model(url)
    does(url, "ada", "a", signal=1.0, at="2030-01-01 00:00+00")
    fold(url)
    assert rows(url, "ada")[0][:2] == ("c", 0.5)


def test_what_is_disliked_is_left_out_and_speaks_for_nothing(url: str) -> None:
    publish_model(url)
    does(url, "ada", "a", signal=1.0)
    does(url, "ada", "c", signal=5.0, dislikes=1)
    fold(url)
    assert [row[:2] for row in rows(url, "ada")] == [("b", 0.0), ("d", 0.0)]
    does(url, "ada", "a", dislikes=1)
    fold(url)
    assert rows(url, "ada") == []


def test_a_listener_of_items_that_the_model_lacks_has_no_list_yet(url: str) -> None:
    publish_model(url)
    does(url, "ada", "new")
    does(url, "bob", "a")
    fold(url)
    assert (list_of(url, "ada"), list_of(url, "bob")) == ([], ["c", "b", "d"])


def test_a_run_without_a_model_leaves_its_own_lists_to_readers(url: str) -> None:
    publish_model(url)
    execute(url, "UPDATE model_runs SET algorithm = 'fallback'")
    does(url, "ada", "a")
    fold(url)
    assert execute(url, "SELECT model_run_id FROM live_recommendations") == [(0,)]


def test_the_lists_of_a_trained_model_are_the_runs_own_for_the_same_data(url: str) -> None:
    """MLlib ends with a half-step of the listeners, which is what folding them in solves."""
    with transaction(url) as cursor:
        cursor.execute(
            "INSERT INTO user_item_affinity (user_id, item_id, signal, first_at, last_at) "
            "SELECT 'u' || u, 't' || i, 1 + (u * 7 + i * 3) % 5, at, at "
            "FROM generate_series(0, 29) AS u CROSS JOIN generate_series(0, 39) AS i "
            "CROSS JOIN LATERAL (SELECT timestamptz '2026-05-01' + (u + i) * interval '1 day') "
            "AS t (at) WHERE (u % 3 = i % 3 AND (u + i) % 4 < 3) OR (u * i) % 11 = 5"
        )
    settings = {"ALS_RANK": "4", "ALS_BLOCKS": "1", "TRAIN_MIN_INTERACTIONS": "100",
                "SPARK_MASTER": "local[1]", "SPARK_DRIVER_MEMORY": "1g"}  # fmt: skip
    encore("train", env={**settings, "DATABASE_URL": url})
    own = lists(url)
    assert len(own) == 30
    execute(
        url,
        "INSERT INTO live_queue (user_id, bucket) "
        "SELECT DISTINCT user_id, live_bucket(user_id) FROM user_item_affinity",
    )
    encore("live", "--once", env={"DATABASE_URL": url})
    assert execute(url, "SELECT count(*) FROM live_recommendations") == [(30,)]
    folded = lists(url)
    for user, (items, scores, reasons) in own.items():
        assert folded[user][0] == items, user
        assert folded[user][1] == pytest.approx(scores, abs=1e-4)
        assert folded[user][2] == reasons


def lists(url: str) -> dict[str, tuple[list[str], list[float], list[str]]]:
    found = execute(
        url,
        "SELECT user_id, array_agg(item_id ORDER BY rank), array_agg(score ORDER BY rank), "
        "array_agg(reason ORDER BY rank) FROM current_recommendations GROUP BY user_id",
    )
    return {user: (items, scores, reasons) for user, items, scores, reasons in found}
