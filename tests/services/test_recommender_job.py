"""``encore train`` on a real PostgreSQL: a model, too little data, a failure, an interrupt."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from psycopg2.extras import execute_values

from tests.programs import encore, encore_outcome

pytestmark = pytest.mark.services

USERS, ITEMS = 24, 20
SMALL = {
    "ALS_RANK": "4",
    "ALS_ITERATIONS": "5",
    "ALS_BLOCKS": "1",
    "TRAIN_MIN_INTERACTIONS": "100",
    "SPARK_MASTER": "local[1]",
    "SPARK_DRIVER_MEMORY": "1g",
    "LOG_FORMAT": "json",
}


@pytest.fixture
def url(database_url: str) -> str:
    from database.migrate import upgrade

    upgrade(database_url)
    return database_url


def execute(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []


def fill_two_groups(url: str) -> None:
    """Even users hear the first half of the items, odd ones the second; a fifth of it not yet."""
    pairs = [
        (f"u{user}", f"t{item:02}", 1.0, day, day)
        for user in range(USERS)
        for item in range(ITEMS)
        if (user % 2 == 0) == (item < ITEMS // 2) and (user // 2 + item) % 5
        for day in [f"2026-05-{1 + item % 10:02}"]
    ]
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO items (item_id, title)"
            " SELECT 't' || lpad(n::text, 2, '0'), 'Track ' || n FROM generate_series(0, 19) AS n"
        )
        execute_values(
            cursor,
            "INSERT INTO user_item_affinity (user_id, item_id, signal, first_at, last_at)"
            " VALUES %s",
            pairs,
        )
        cursor.execute("INSERT INTO users (user_id) VALUES ('quiet')")


def everyone_has_their_own_half_first(url: str) -> None:
    rows = execute(
        url,
        "SELECT user_id, array_agg(item_id ORDER BY rank) FROM current_recommendations"
        " GROUP BY user_id",
    )
    assert len(rows) == USERS
    for user, items in rows:
        assert len(items) == ITEMS - 8
        own_half = {int(item[1:]) < ITEMS // 2 for item in items[:2]}
        assert own_half == {int(user[1:]) % 2 == 0}


def test_a_model_is_trained_measured_and_published(url: str, tmp_path: Path) -> None:
    fill_two_groups(url)
    encore("train", env={**SMALL, "DATABASE_URL": url})
    run = json.loads(encore("runs", "--json", env={"DATABASE_URL": url}))[0]
    assert (run["status"], run["algorithm"]) == ("published", "als")
    assert (run["users"], run["items"], run["interactions"]) == (USERS, ITEMS, USERS * 8)
    assert run["data_to"].startswith("2026-05-10")
    assert {"als", "popularity", "test_users", "rows", "seconds"} <= set(run["metrics"])
    assert {"ndcg@10", "recall@20", "coverage@20"} <= set(run["metrics"]["als"])
    assert run["parameters"]["rank"] == 4
    everyone_has_their_own_half_first(url)
    assert execute(url, "SELECT count(DISTINCT item_id) FROM similar_items") == [(ITEMS,)]
    answer = json.loads(encore("recommend", "quiet", "--json", env={"DATABASE_URL": url}))
    assert {one["source"] for one in answer["recommendations"]} == {"popular"}


def train_in_process(url: str, *, force: bool = False, **changes: Any) -> int:
    from encore.settings import load_settings
    from recommender.job import run

    return run(url, load_settings(**changes), seed=1, force=force)


ENOUGH: dict[str, Any] = {
    "train_engine": "implicit",
    "train_min_interactions": 100,
    "als_rank": 4,
    "als_regularization": 1.0,  # by MLlib it counts once for each item of a listener
}


def test_one_machine_alone_makes_the_same_lists_without_spark(url: str) -> None:
    fill_two_groups(url)
    run = train_in_process(url, **ENOUGH)
    ((status, metrics),) = execute(url, "SELECT status, metrics FROM model_runs")
    assert (status, metrics["rows"]) == ("published", USERS * (ITEMS - 8))
    # What the next run is compared with: the blend's metrics, and its weights beside them.
    assert {"ndcg@10", "coverage@20"} <= set(metrics["blend"])
    assert "blend_weights" in metrics
    everyone_has_their_own_half_first(url)
    again = train_in_process(url, **ENOUGH)
    files = "SELECT sha256 FROM model_artifacts WHERE model_run_id = %s AND name = 'items.parquet'"
    assert execute(url, files, run) == execute(url, files, again)
    hashes = execute(url, "SELECT DISTINCT metrics ->> 'data' FROM model_runs")
    assert len(hashes) == 1


def test_the_same_pairs_weigh_the_same_in_training_and_in_evaluation(url: str) -> None:
    """Two formulations of one definition: SQL for training, NumPy where half-lives are tried."""
    import numpy as np

    from encore.settings import load_settings
    from recommender.als import AlsParameters
    from recommender.catalogue import read_catalogue
    from recommender.dataset import open_snapshot, pair_columns, summarize
    from recommender.domain import read_domain
    from recommender.local import read

    pairs = [
        ("u1", "t1", 2.0, "2026-04-01", "2026-04-01", 0),  # decays
        ("u1", "t2", 9.0, "2026-04-01", "2026-05-09", 0),  # went on after the split
        ("u1", "t3", 1.0, "2026-05-09", "2026-05-09", 0),  # began after it
        ("u2", "t1", 5.0, "2026-04-01", "2026-04-01", 1),  # disliked
        ("u2", "t2", 0.0, "2026-04-01", "2026-04-01", 0),  # skipped
        ("u2", "t3", 1.5, "2026-04-30", "2026-04-30", 0),
    ]
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            "INSERT INTO user_item_affinity"
            " (user_id, item_id, signal, first_at, last_at, dislikes) VALUES %s",
            pairs,
        )
    current = load_settings(train_test_share=0.3)
    with open_snapshot(url) as snapshot:
        summary = summarize(snapshot.cursor, 0.3, 30.0)
        catalogue = read_catalogue(snapshot.cursor)
        parameters = AlsParameters(2, 1, 0.1, 1.0, 1, 1)
        trainer = read(snapshot, pair_columns(summary), catalogue, parameters)
    split = read_domain(url, current).split()
    past = trainer.past.co_listening().toarray()
    np.testing.assert_allclose(past, split.train.weights.toarray(), rtol=1e-6)
    # By hand, as of April 30th: 2 decayed 29 days of 30; one play of April 1st; 1.5 undecayed.
    assert past[0, 0] == pytest.approx(2 * 2 ** (-29 / 30), rel=1e-6)
    assert past[0, 1] == pytest.approx(2 ** (-29 / 30), rel=1e-6)
    assert past[1].tolist() == [0.0, 0.0, 1.5]
    tested = trainer.tested(10)
    assert tested.relevant.toarray().tolist() == [[0, 0, 1]]
    assert [known.tolist() for known in tested.known] == [[0, 1]]


def test_a_run_that_is_clearly_worse_is_refused_unless_it_is_forced(url: str) -> None:
    from encore.errors import EncoreError

    fill_two_groups(url)
    good = train_in_process(url, **ENOUGH)
    execute(
        url,
        "UPDATE model_runs SET metrics = jsonb_set(jsonb_set(metrics, '{als,ndcg@10_low}', '2'),"
        " '{als,ndcg@10}', '2.1')",
    )
    with pytest.raises(EncoreError, match=r"run 2 is not published: ndcg@10 .* of run 1"):
        train_in_process(url, **ENOUGH)
    assert execute(url, "SELECT model_run_id FROM published_run") == [(good,)]
    refused = execute(url, "SELECT status, message FROM model_runs WHERE model_run_id = 2")
    assert refused[0][0] == "refused"
    assert "is worse than 2.1000" in refused[0][1]
    forced = train_in_process(url, force=True, **ENOUGH)
    assert execute(url, "SELECT model_run_id FROM published_run") == [(forced,)]
    said = encore("rollback", env={"DATABASE_URL": url})
    assert said.strip() == f"run {forced} is superseded; readers see run {good} again"


@pytest.mark.parametrize("signal", ["NaN", "Infinity"])
def test_a_signal_that_is_no_number_is_told_of_and_the_old_run_stays(url: str, signal: str) -> None:
    from encore.errors import EncoreError

    fill_two_groups(url)
    first = train_in_process(url, **ENOUGH)
    execute(
        url,
        "UPDATE user_item_affinity SET signal = %s WHERE user_id = 'u1' AND item_id = 't11'",
        signal,
    )
    with pytest.raises(EncoreError, match=r"holds 1 signals .* such as that of u1, t11"):
        train_in_process(url, **ENOUGH)
    assert execute(url, "SELECT model_run_id FROM published_run") == [(first,)]


def test_a_model_too_big_for_the_memory_is_told_of_and_the_old_run_stays(url: str) -> None:
    from encore.errors import EncoreError

    fill_two_groups(url)
    first = train_in_process(url, **ENOUGH)
    with pytest.raises(EncoreError, match=r"ran out of memory, .* stays. Lower ALS_RANK"):
        train_in_process(url, **{**ENOUGH, "als_rank": 4_000_000})
    assert execute(url, "SELECT model_run_id FROM published_run") == [(first,)]
    assert execute(url, "SELECT message FROM model_runs WHERE status = 'failed'") == [
        ("out of memory",)
    ]


@pytest.mark.parametrize("what", ["user_id = 'u1'", "item_id = 't01'"])
def test_one_listener_or_one_item_alone_gets_fallback_lists(url: str, what: str) -> None:
    fill_two_groups(url)
    execute(url, f"DELETE FROM user_item_affinity WHERE NOT {what}")
    train_in_process(url, **{**ENOUGH, "train_min_interactions": 1})
    ((algorithm, message),) = execute(url, "SELECT algorithm, message FROM model_runs")
    assert algorithm == "fallback"
    assert "needed are 1 pairs" in message


def test_a_damaged_model_is_told_of_and_so_is_the_way_back(url: str) -> None:
    fill_two_groups(url)
    train_in_process(url, **ENOUGH)
    execute(
        url,
        "UPDATE model_artifacts SET content = substring(content FOR 100)"
        " WHERE name = 'items.parquet'",
    )
    told = encore_outcome("live", "--once", env={"DATABASE_URL": url})
    assert told.returncode == 1
    assert "items.parquet of run 1 is not what was written (100 bytes" in told.stderr
    assert "`encore rollback`" in told.stderr
    assert "Traceback" not in told.stderr


def test_the_files_of_a_model_can_be_taken_out(url: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    fill_two_groups(url)
    train_in_process(url, **ENOUGH)
    encore("model", str(tmp_path / "model"), env={"DATABASE_URL": url})
    items = pq.read_table(tmp_path / "model" / "items.parquet")
    assert items.num_rows == ITEMS
    assert json.loads((tmp_path / "model" / "model.json").read_text())["alpha"] == 10.0


def test_an_item_announced_after_the_training_reaches_lists_by_its_artist(url: str) -> None:
    """The model never saw it: its artist's other items say where it belongs."""
    from database.engine import transaction
    from recommender.artifact import load_bundle
    from recommender.rules import Rules

    fill_two_groups(url)
    execute(url, "INSERT INTO artists (artist_id) VALUES ('even'), ('odd')")
    execute(
        url,
        "UPDATE items SET artist_id = CASE WHEN item_id < 't10' THEN 'even' ELSE 'odd' END",
    )
    train_in_process(url, **ENOUGH)
    execute(url, "INSERT INTO items (item_id, title, artist_id) VALUES ('new', 'New', 'even')")
    with transaction(url) as cursor:
        bundle = load_bundle(cursor, Rules())
    assert bundle is not None
    new = bundle.catalogue.number["new"]
    factors = bundle.half_step.factors
    own, other = factors[:10].mean(axis=0), factors[10:20].mean(axis=0)
    assert factors[new] @ own > factors[new] @ other + 0.1 * abs(factors[new] @ own)
    execute(
        url,
        "INSERT INTO live_queue (user_id, bucket) SELECT DISTINCT user_id, live_bucket(user_id)"
        " FROM user_item_affinity",
    )
    encore("live", "--once", env={"DATABASE_URL": url, "RECOMMEND_EXPLORATION": "0.2"})
    found = execute(
        url, "SELECT DISTINCT source FROM current_recommendations WHERE item_id = 'new'"
    )
    assert found == [("explore",)]


def test_too_little_data_publishes_the_fallback_and_says_what_is_needed(url: str) -> None:
    fill_two_groups(url)
    execute(
        url,
        "INSERT INTO item_trends (country, item_id, score, as_of, heat)"
        " SELECT '', item_id, 1, now(), 1 FROM items",
    )
    run = train_in_process(url)
    row = execute(url, "SELECT model_run_id, algorithm, status, message FROM model_runs")[0]
    assert row[:3] == (run, "fallback", "published")
    assert f"{USERS * 8} positive listener-item pairs" in row[3]
    assert "needed are 1000" in row[3]
    lists = execute(
        url,
        "SELECT user_id, count(*), min(source) FROM current_recommendations GROUP BY 1 ORDER BY 1",
    )
    assert len(lists) == USERS + 1
    assert ("quiet", ITEMS, "popular") in lists
    assert ("u0", ITEMS - 8, "popular") in lists


def born(url: str, year: int | None, *users: str) -> None:
    for user in users:
        execute(
            url,
            "INSERT INTO users (user_id, birth_year) VALUES (%s, %s)"
            " ON CONFLICT (user_id) DO UPDATE SET birth_year = excluded.birth_year",
            user,
            year,
        )


def likes(
    url: str,
    item: str,
    *users: str,
    signal: float = 1.0,
    dislikes: int = 0,
    day: str = "2026-05-31",
) -> None:
    for user in users:
        execute(
            url,
            "INSERT INTO user_item_affinity"
            " (user_id, item_id, signal, dislikes, first_at, last_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            user, item, signal, dislikes, day, day,
        )  # fmt: skip


AGES = "SELECT birth_decade, rank, item_id, listeners, score FROM age_popularity ORDER BY 1, 2"
OLDER, YOUNGER, NO_AGE = ("u80", "u85", "u89"), ("u90", "u99"), ("v1", "v2")


def fill_two_decades(url: str) -> None:
    born(url, 1980, "u80")
    born(url, 1985, "u85")
    born(url, 1989, "u89")
    born(url, 1990, "u90")
    born(url, 1999, "u99")
    born(url, None, "v1")  # v2 was never announced
    likes(url, "both", *OLDER, *YOUNGER)
    likes(url, "older", *OLDER[:2], signal=0.75)
    likes(url, "faded", *OLDER, day="2026-05-01")  # a half-life before the newest event
    likes(url, "one alone", "u80", signal=1000.0)
    likes(url, "often by one", "u80", signal=1000.0)
    likes(url, "often by one", "u85", signal=0.25)
    likes(url, "skipped", *OLDER, signal=0.0)
    likes(url, "disliked", *OLDER, dislikes=1)
    likes(url, "no age", *NO_AGE)


def test_each_run_says_what_is_popular_with_listeners_of_an_age(url: str) -> None:
    fill_two_decades(url)
    train_in_process(url)
    assert execute(url, AGES) == [
        (1980, 1, "both", 3, 3.0),
        (1980, 2, "faded", 3, 1.5),  # each complete play counts half
        (1980, 3, "older", 2, 1.5),
        (1980, 4, "often by one", 2, 1.25),  # one complete play of a listener at most
        (1990, 1, "both", 2, 2.0),
    ]


def test_lists_without_a_model_know_what_is_popular_with_an_age_as_of_their_own_run(
    url: str,
) -> None:
    """The first run's lists too: readers see the table only when they see the run."""
    fill_two_decades(url)
    born(url, 1984, "new")
    train_in_process(url)
    rows = execute(
        url,
        "SELECT item_id, reason FROM current_recommendations WHERE user_id = 'new' ORDER BY rank",
    )
    reason = "popular with your age group"
    assert rows == [(item, reason) for item in ("both", "faded", "older", "often by one")]
    assert execute(url, "SELECT item_id, reason FROM recommendations_for('new', 10)") == rows


@pytest.mark.parametrize("with_a_model", [False, True])
def test_a_run_replaces_what_was_popular_with_an_age_and_keeps_as_many_as_a_list(
    url: str, *, with_a_model: bool
) -> None:
    fill_two_groups(url)
    born(url, 1971, "u0", "u2", "u4", "u6", "u8")  # all of them have heard t05 and more
    changes = {**ENOUGH, "recommend_top_n": 3} if with_a_model else {"recommend_top_n": 3}
    train_in_process(url, **changes)
    ((algorithm,),) = execute(url, "SELECT algorithm FROM model_runs")
    assert algorithm == ("als" if with_a_model else "fallback")
    decades = "SELECT birth_decade, count(*), max(rank) FROM age_popularity GROUP BY 1"
    assert execute(url, decades) == [(1970, 3, 3)]
    born(url, 2001, "u0", "u2", "u4", "u6", "u8")
    train_in_process(url, **changes)
    assert execute(url, decades) == [(2000, 3, 3)]


def test_a_run_that_fails_leaves_what_is_popular_with_an_age(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from encore.errors import EncoreError
    from recommender import switch

    fill_two_decades(url)
    train_in_process(url)
    before = execute(url, AGES)
    likes(url, "newest", *OLDER, *YOUNGER)

    def fail(*_: object) -> None:
        raise RuntimeError("the switch fails in its last statement")

    with monkeypatch.context() as patch:
        patch.setattr(switch, "queue_newer_than", fail)
        with pytest.raises(EncoreError, match="the switch fails"):
            train_in_process(url)
    assert execute(url, AGES) == before
    train_in_process(url)
    assert "newest" in {row[2] for row in execute(url, AGES)}


def test_an_empty_database_publishes_an_empty_fallback(url: str) -> None:
    train_in_process(url)
    assert execute(url, "SELECT algorithm, status FROM model_runs") == [("fallback", "published")]
    message = execute(url, "SELECT message FROM model_runs")[0][0]
    assert "there is nothing to recommend yet" in message


def test_a_run_that_fails_leaves_the_published_one_and_says_why(url: str) -> None:
    from encore.errors import EncoreError

    first = train_in_process(url)
    execute(url, "ALTER FUNCTION fallback_for RENAME TO fallback_gone")
    execute(url, "INSERT INTO users (user_id) VALUES ('u1')")
    with pytest.raises(EncoreError, match="the published run stays: UndefinedFunction"):
        train_in_process(url)
    assert execute(url, "SELECT model_run_id FROM published_run") == [(first,)]
    status, message = execute(
        url, "SELECT status, message FROM model_runs ORDER BY model_run_id DESC LIMIT 1"
    )[0]
    assert status == "failed"
    assert "fallback_for" in message
    left = execute(url, r"SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '_\d+$'")
    assert left == [(2,)]


def test_a_database_without_tables_is_told_of(database_url: str) -> None:
    from encore.errors import EncoreError

    with pytest.raises(EncoreError, match="`encore migrate`"):
        train_in_process(database_url)


def test_training_again_and_again_ends_cleanly_when_interrupted(url: str) -> None:
    command = [sys.executable, "-m", "encore", "train", "--every", "1s"]
    process = subprocess.Popen(
        command, env={**os.environ, **SMALL, "DATABASE_URL": url}, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while len(execute(url, "SELECT 1 FROM model_runs WHERE published_at IS NOT NULL")) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "stopped; readers keep the last published run" in said
    assert "Traceback" not in said
    sessions = execute(
        url, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'encore train'"
    )
    assert sessions == [(0,)]
    assert execute(url, "SELECT count(*) FROM model_runs WHERE status = 'running'") == [(0,)]
