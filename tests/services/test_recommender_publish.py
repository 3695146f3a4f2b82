"""Publishing on a real PostgreSQL: one switch, old runs gone, readers never without a list."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from psycopg2 import sql

from encore.errors import EncoreError

pytestmark = pytest.mark.services

USERS = [f"u{number}" for number in range(20)]
LENGTH = 5


@pytest.fixture
def url(database_url: str) -> str:
    from database.migrate import upgrade

    upgrade(database_url)
    return database_url


def rows_of(model_run_id: int, users: list[str]) -> pa.RecordBatch:
    """Lists whose items name the run, so that a mixed list shows itself."""
    listed = [(user, rank) for user in users for rank in range(1, LENGTH + 1)]
    return pa.RecordBatch.from_pydict(
        {
            "model_run_id": pa.array([model_run_id] * len(listed), pa.int64()),
            "user_id": pa.array([user for user, _ in listed]),
            "rank": pa.array([rank for _, rank in listed], pa.int16()),
            "item_id": pa.array([f"run {model_run_id}" for _ in listed]),
            "score": pa.array([1.0 / rank for _, rank in listed]),
            "source": pa.array(["personal"] * len(listed)),
            "reason": pa.array(['because of "A, B"\n'] * len(listed)),
        }
    )


def filled_run(url: str) -> int:
    from recommender.publish import prepare, table_of, write_task
    from recommender.runs import start_run

    run = start_run(url, "als", {"rank": 4})
    prepare(url, run)
    table = table_of("recommendations", run)
    for task, users in enumerate((USERS[:10], USERS[10:])):
        assert write_task(url, table, task, iter([rows_of(run, users)])) == 10 * LENGTH
    return run


def fetch(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def tables(url: str) -> set[str]:
    found = fetch(url, r"SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_\d+$'")
    return {row[0] for row in found}


def wait_until_attached(url: str, table: str) -> None:
    deadline = time.monotonic() + 30
    while not fetch(url, "SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass(%s)", table):
        assert time.monotonic() < deadline, f"{table} was not attached"


def test_readers_see_the_run_once_it_is_published_and_not_before(url: str) -> None:
    from recommender.publish import publish

    run = filled_run(url)
    assert fetch(url, "SELECT * FROM current_recommendations") == []
    publish(url, run, keep=5)
    rows = fetch(url, "SELECT * FROM current_recommendations WHERE user_id = 'u3' ORDER BY rank")
    assert [row[2] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0] == (run, "u3", 1, f"run {run}", 1.0, "personal", 'because of "A, B"\n')
    status = fetch(url, "SELECT status, published_at, duration_seconds FROM model_runs")
    assert status[0][0] == "published"
    assert None not in status[0]


def test_readers_are_not_held_up_by_a_switch_that_waits_for_live_lists(url: str) -> None:
    """What is popular with an age is written, not yet seen, and locks nobody out."""
    from recommender.ages import AGE_SCHEMA
    from recommender.publish import publish

    def ages(item: str) -> pa.Table:
        return pa.Table.from_pylist(
            [{"birth_decade": 1980, "rank": 1, "item_id": item, "listeners": 2, "score": 2.0}],
            AGE_SCHEMA,
        )

    publish(url, filled_run(url), keep=5, ages=ages("before"))
    with closing(psycopg2.connect(url)) as worker, worker.cursor() as cursor:
        cursor.execute("SELECT model_run_id FROM published_run FOR SHARE")
        second = filled_run(url)
        publisher = threading.Thread(
            target=publish, args=(url, second), kwargs={"keep": 5, "ages": ages("after")}
        )
        publisher.start()
        wait_until_attached(url, f"recommendations_{second}")
        deadline = time.monotonic() + 30
        while not fetch(url, "SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < deadline, "the switch did not wait"
        assert fetch(url, "SELECT item_id FROM age_popularity") == [("before",)]
        worker.commit()
        publisher.join(60)
    assert fetch(url, "SELECT item_id FROM age_popularity") == [("after",)]


def test_going_back_keeps_what_is_popular_with_an_age_now(url: str) -> None:
    from recommender.ages import AGE_SCHEMA
    from recommender.publish import publish
    from recommender.switch import roll_back

    publish(url, filled_run(url), keep=5, ages=AGE_SCHEMA.empty_table())
    row = {"birth_decade": 1980, "rank": 1, "item_id": "t1", "listeners": 2, "score": 2.0}
    publish(url, filled_run(url), keep=5, ages=pa.Table.from_pylist([row], AGE_SCHEMA))
    roll_back(url)
    assert fetch(url, "SELECT item_id FROM age_popularity") == [("t1",)]


def test_a_task_that_is_tried_again_replaces_what_it_wrote(url: str) -> None:
    from recommender.publish import publish, table_of, write_task

    run = filled_run(url)
    write_task(url, table_of("recommendations", run), 1, iter([rows_of(run, USERS[10:])]))
    publish(url, run, keep=5)
    assert fetch(url, "SELECT count(*) FROM recommendations") == [(len(USERS) * LENGTH,)]


def test_the_last_runs_are_kept_and_older_ones_leave_nothing(url: str) -> None:
    from recommender.publish import publish

    runs = []
    for _ in range(4):
        runs.append(filled_run(url))
        publish(url, runs[-1], keep=2)
    kept = fetch(url, "SELECT model_run_id, status FROM model_runs ORDER BY 1")
    assert kept == [(runs[2], "superseded"), (runs[3], "published")]
    assert tables(url) == {
        f"{parent}_{run}" for parent in ("recommendations", "similar_items") for run in runs[2:]
    }


def test_the_published_run_can_be_taken_back_to_any_that_is_kept(url: str) -> None:
    from recommender.publish import publish
    from recommender.switch import roll_back

    runs = [filled_run(url) for _ in range(3)]
    for run in runs:
        publish(url, run, keep=5)
    assert roll_back(url) == (runs[2], runs[1])
    assert fetch(url, "SELECT DISTINCT item_id FROM current_recommendations") == [
        (f"run {runs[1]}",)
    ]
    assert roll_back(url, runs[0]) == (runs[1], runs[0])
    kept = fetch(url, "SELECT model_run_id, status FROM model_runs ORDER BY 1")
    assert [status for _, status in kept] == ["published", "superseded", "superseded"]


def test_going_back_to_a_run_that_is_not_kept_changes_nothing(url: str) -> None:
    from recommender.publish import publish
    from recommender.switch import roll_back

    with pytest.raises(EncoreError, match="no run is published"):
        roll_back(url)
    run = filled_run(url)
    publish(url, run, keep=5)
    with pytest.raises(EncoreError, match="run 99 is not kept for going back to"):
        roll_back(url, 99)
    with pytest.raises(EncoreError, match="an older run is not kept"):
        roll_back(url)
    assert fetch(url, "SELECT model_run_id FROM published_run") == [(run,)]


def test_a_reader_that_holds_the_lists_delays_the_drop_only(url: str) -> None:
    from recommender.publish import publish

    first = filled_run(url)
    publish(url, first, keep=1)
    with closing(psycopg2.connect(url)) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM current_recommendations")
        second = filled_run(url)
        publish(url, second, keep=1, readers_seconds=0.1)
        assert f"recommendations_{first}" in tables(url)
        assert fetch(url, "SELECT model_run_id FROM published_run") == [(second,)]
    third = filled_run(url)
    publish(url, third, keep=1)
    assert tables(url) == {f"recommendations_{third}", f"similar_items_{third}"}


def test_the_switch_waits_for_transactions_that_read_before_it(url: str) -> None:
    """A plan kept within a transaction does not know a partition that was attached since."""
    from recommender.publish import publish

    publish(url, filled_run(url), keep=5)
    second = filled_run(url)
    with closing(psycopg2.connect(url)) as reader, reader.cursor() as cursor:
        cursor.execute(
            "PREPARE mine AS SELECT count(*) FROM current_recommendations WHERE user_id = 'u1'"
        )
        publisher = threading.Thread(target=publish, args=(url, second), kwargs={"keep": 5})
        for _ in range(8):
            cursor.execute("EXECUTE mine")
            assert cursor.fetchone() == (LENGTH,)
        publisher.start()
        wait_until_attached(url, f"recommendations_{second}")
        publisher.join(0.5)
        cursor.execute("EXECUTE mine")
        assert cursor.fetchone() == (LENGTH,)
        assert publisher.is_alive()
        reader.commit()
        publisher.join(60)
        assert not publisher.is_alive()
        cursor.execute("EXECUTE mine")
        assert cursor.fetchone() == (LENGTH,)


class Reader(threading.Thread):
    """Read one user's list again and again, keeping what was ever wrong with it."""

    def __init__(self, url: str, statement: str, *, autocommit: bool) -> None:
        super().__init__()
        self._url, self._statement, self._autocommit = url, statement, autocommit
        self.done = threading.Event()
        self.wrong: list[object] = []
        self.seen: set[str] = set()

    def run(self) -> None:
        try:
            with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
                connection.autocommit = self._autocommit
                while not self.done.is_set():
                    cursor.execute(self._statement)
                    self._look(cursor.fetchall())
                    connection.commit()
        except psycopg2.Error as error:
            self.wrong.append(error)

    def _look(self, rows: list[tuple[Any, ...]]) -> None:
        items = {row[0] for row in rows}
        self.seen |= items
        if len(rows) != LENGTH or len(items) != 1:
            self.wrong.append(rows)


@pytest.fixture
def readers(url: str) -> Iterator[list[Reader]]:
    view = "SELECT item_id FROM current_recommendations WHERE user_id = 'u7' ORDER BY rank"
    function = f"SELECT item_id FROM recommendations_for('u7', {LENGTH})"
    started = [
        Reader(url, statement, autocommit=autocommit)
        for statement in (view, function)
        for autocommit in (True, False)
    ]
    yield started
    for reader in started:
        reader.done.set()
        reader.join(60)


def test_readers_never_see_an_empty_or_mixed_list_while_runs_switch(
    url: str, readers: list[Reader]
) -> None:
    from recommender.publish import publish

    runs = [filled_run(url)]
    publish(url, runs[0], keep=2)
    for reader in readers:
        reader.start()
    for _ in range(12):
        runs.append(filled_run(url))
        publish(url, runs[-1], keep=2)
    for reader in readers:
        reader.done.set()
        reader.join(60)
        assert reader.wrong == []
        assert len(reader.seen) > 1


def test_a_second_training_is_refused_and_a_dead_one_is_closed(url: str) -> None:
    from recommender.runs import only_one_training, start_run

    start_run(url, "als", {})
    with only_one_training(url):
        assert fetch(url, "SELECT status, message FROM model_runs") == [
            ("failed", "ended without finishing")
        ]
        second = only_one_training(url)
        with pytest.raises(EncoreError, match="another training is running"), second:
            pass
    with only_one_training(url):
        pass


def test_tables_of_a_training_that_died_go_with_the_next_one(url: str) -> None:
    from recommender.publish import publish
    from recommender.runs import only_one_training

    dead = filled_run(url)
    with only_one_training(url):
        publish(url, filled_run(url), keep=5)
    assert f"recommendations_{dead}" not in tables(url)


def test_rows_and_arrow_batches_come_through_copy_unchanged(url: str) -> None:
    from recommender.arrow_copy import copy_in, copy_out

    schema = pa.schema([("id", pa.string()), ("n", pa.int64()), ("yes", pa.bool_())])
    ids = ["plain", "NA", "null", "a,b", 'say "hi"', "two\nlines", "ünï", "\\N", " "]
    batch = pa.RecordBatch.from_pydict(
        {"id": ids, "n": list(range(len(ids))), "yes": [True, False, True] * 3}, schema
    )
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE odd (id text, n bigint, yes boolean)")
        copy_in(cursor, sql.Identifier("odd"), batch)
        read = list(copy_out(cursor, sql.SQL("SELECT * FROM odd ORDER BY n"), schema))
    assert pa.Table.from_batches(read, schema).to_pydict() == batch.to_pydict()
