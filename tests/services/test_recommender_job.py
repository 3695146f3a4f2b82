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

from tests.programs import encore

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
    assert execute(url, "SELECT count(DISTINCT item_id) FROM similar_items") == [(ITEMS,)]
    answer = json.loads(encore("recommend", "quiet", "--json", env={"DATABASE_URL": url}))
    assert {one["source"] for one in answer["recommendations"]} == {"popular"}


def train_in_process(url: str, **changes: Any) -> int:
    from encore.settings import load_settings
    from recommender.job import run

    return run(url, load_settings(**changes), seed=1)


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
