"""Experiments on real lists: what is shown to whom, and what the results say; values by hand."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg2 import extensions
from scipy.stats import binomtest

from database.engine import transaction
from encore.errors import EncoreError
from recommender.publish import drop_old_runs
from serving.experiments import make, parse, results, stop
from tests.api import Api, seed, serving
from tests.live import execute
from tests.programs import encore

pytestmark = pytest.mark.services

# Of two artists t3 and t4, t5; ada, in bucket 6386 of caps, is shown what comes last.
SHOWN = (
    "INSERT INTO recommendation_outcomes VALUES ('2026-05-01 12:00Z', 1, %s, 'personal', 1, %s, %s)"
)
ANOTHER_RUN = """
INSERT INTO model_runs (algorithm, status, parameters, published_at)
VALUES ('als', 'superseded', '{}', '2026-04-01');
CREATE TABLE recommendations_2 PARTITION OF recommendations FOR VALUES IN (2);
INSERT INTO recommendations VALUES (2, 'ada', 1, 't6', 0.5, 'personal', 'because'),
                                   (2, 'ada', 2, 't4', 0.4, 'personal', 'because');
INSERT INTO live_recommendations VALUES ('ada', 1, now(), '{t5,t4}', '{1,1}',
                                         '{personal,explore}', '{"",""}');
"""


@pytest.fixture
def cursor(database_url: str) -> Iterator[extensions.cursor]:
    seed(database_url)
    with transaction(database_url) as cursor:
        yield cursor


@pytest.fixture(scope="module")
def api(shared_database_url: str) -> Iterator[Api]:
    seed(shared_database_url)
    execute(shared_database_url, ANOTHER_RUN)
    with serving(shared_database_url) as running:
        yield running


def begun(api: Api, name: str, *variants: str) -> None:
    """Let an experiment run in the place of the one before; the API knows within a second."""
    from tests.live import wait_until

    with transaction(api.database_url) as cursor:
        cursor.execute("UPDATE experiments SET stopped_at = now() WHERE stopped_at IS NULL")
        make(cursor, name, parse(name, variants))
    wait_until(lambda: str(listed(api)[0]).startswith(f"{name}:"), "the API shows it")


def listed(api: Api, **parameters: Any) -> tuple[str | None, list[str]]:
    """Return the variant that ada is shown, and the first three items."""
    told = api.json("/recommend/ada", n=3, **parameters)
    return told["variant"], [one["item"]["item_id"] for one in told["recommendations"]]


def test_a_variant_is_shown_to_who_is_in_its_buckets(api: Api) -> None:
    assert listed(api) == (None, ["t5", "t4", "t6"])
    begun(api, "caps", "control:share=0.5", "b:max_per_artist=1")
    assert listed(api) == ("caps:b", ["t5", "t3", "t7"])
    assert listed(api, max_per_artist=2) == ("caps:b", ["t5", "t4", "t3"])
    assert api.json("/recommend/new", n=1)["variant"] == "caps:control"
    # Bucket 7550 of runs.
    begun(api, "runs", "control:run=1,share=0.1", "b:run=2")
    assert listed(api) == ("runs:b", ["t6", "t4", "t3"])
    told = api.json("/recommend/ada", n=1)
    assert (told["model_run_id"], told["made_by"]) == (2, "run")
    assert told["recommendations"][0]["model_run_id"] == 2
    begun(api, "caps2", "control:without=explore,share=0.001", "b:without=explore+personal")
    assert api.json("/recommend/ada", n=1)["recommendations"][0]["source"] == "genre"


def test_what_is_shown_to_everybody_at_once_is_what_the_api_shows(api: Api) -> None:
    url = api.database_url
    shown = "SELECT variant, model_run_id, item_ids FROM lists_shown(2) WHERE user_id = 'ada'"
    begun(api, "all1", "control:share=0.0001", "b:max_per_artist=1")
    assert execute(url, shown) == [("all1:b", 1, ["t5"])]
    begun(api, "all2", "control:share=0.0001", "b:run=2")
    assert execute(url, shown) == [("all2:b", 2, ["t6", "t4"])]
    begun(api, "all3", "control:share=0.0001", "b:without=personal")
    assert execute(url, shown) == [("all3:b", 1, ["t4"])]
    execute(url, "UPDATE experiments SET stopped_at = now() WHERE stopped_at IS NULL")
    assert execute(url, shown) == [(None, 1, ["t5", "t4"])]


def test_the_hash_is_the_same_in_sql(cursor: extensions.cursor) -> None:
    cursor.execute(
        "SELECT experiment_bucket('caps', 'ada'), experiment_bucket('caps', 'Žofie'), "
        "experiment_bucket('runs', 'ada')"
    )
    assert cursor.fetchall() == [(6386, 1852, 7550)]


def test_one_experiment_runs_at_a_time_and_its_run_is_kept(
    cursor: extensions.cursor, database_url: str
) -> None:
    cursor.execute(ANOTHER_RUN)
    with pytest.raises(EncoreError, match="no lists of run 9"):
        make(cursor, "old", parse("old", ["a", "b:run=9"]))
    make(cursor, "old", parse("old", ["a", "b:run=2"]))
    for name, said in (("old", "there was one of that name"), ("new", "one runs at a time")):
        with pytest.raises(EncoreError, match=said):
            make(cursor, name, parse(name, ["a", "b"]))
    cursor.connection.commit()
    drop_old_runs(database_url, 1)
    assert execute(database_url, "SELECT count(*) FROM recommendations WHERE model_run_id = 2") == [
        (2,)
    ]
    stop(cursor, "old")
    with pytest.raises(EncoreError, match="no experiment 'old' runs"):
        stop(cursor, "old")
    cursor.connection.commit()
    drop_old_runs(database_url, 1)
    assert execute(database_url, "SELECT count(*) FROM recommendations WHERE model_run_id = 2") == [
        (0,)
    ]


def test_intervals_are_those_of_the_literature(
    cursor: extensions.cursor, database_url: str
) -> None:
    # Newcombe 1998, table II, example (a), method 10: 56/70 against 48/80.
    make(cursor, "n98", parse("n98", ["first", "second", "nobody"]))
    cursor.execute(SHOWN, ("n98:first", 80, 48))
    cursor.execute(SHOWN, ("n98:second", 70, 56))
    cursor.execute(SHOWN, ("another:second", 70, 1))
    first, second, nobody = results(cursor, "n98")
    found = [round(second[name], 4) for name in ("difference", "difference_low", "difference_high")]
    assert found == [0.2, 0.0524, 0.3339]
    for one, hits, of in ((first, 48, 80), (second, 56, 70)):
        wilson = binomtest(hits, of).proportion_ci(method="wilson")
        assert (one["low"], one["high"]) == pytest.approx((wilson.low, wilson.high), abs=1e-6)
    assert (first["difference"], nobody["click_through"], nobody["low"]) == (None, None, None)
    cursor.connection.commit()
    told = encore("experiment", "results", "n98", "--json", env={"DATABASE_URL": database_url})
    assert json.loads(told)[1] == second
    assert "n98" in encore("experiment", "list", env={"DATABASE_URL": database_url})
    with serving(database_url) as api:
        assert api.json("/experiments/n98/results")["variants"][1] == second
        assert [one["name"] for one in api.json("/experiments")["experiments"]] == ["n98"]
        assert api.get("/experiments/none/results").status_code == 404
