"""Ids of accepted events between batches: stored with the counts, kept on disk, and no more."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from psycopg2 import extensions, sql

from database.engine import transaction
from database.migrate import upgrade
from streaming.seen import SeenIds, Uncommitted, as_table, seen_target
from streaming.sink.merge import Staged
from streaming.sink.staging import DatabaseAwayError

STAGED = sql.Identifier("staged")

pytestmark = pytest.mark.services

DAY_MS = 86_400_000


def batch(first: int, count: int, arrived_ms: int) -> pa.Table:
    ids = [f"00000000-0000-0000-0000-{number:012d}" for number in range(first, first + count)]
    return pa.table(
        {
            "partition": pa.array([2] * count, pa.int32()),
            "arrived_ms": pa.array([arrived_ms] * count, pa.int64()),
            "event_id": ids,
        }
    )


def count(database: str, seen: SeenIds, events: pa.Table) -> list[bool]:
    """Do what a task and the merge do with the ids of a batch; return which were first."""
    with transaction(database) as cursor:
        first, changes = seen.first_ones(cursor, events)
        stage(cursor, changes, attempt=1)
        seen_target().merge(cursor, Staged(STAGED, [1]))
        cursor.execute("DELETE FROM staged")
    return [bool(one) for one in np.asarray(first)]


def stage(cursor: extensions.cursor, changes: Sequence[Mapping[str, object]], attempt: int) -> None:
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS staged (segment text, topic text, partition int, "
        "events bigint, newest_ms bigint, packed bytea, replaces text[], attempt bigint)"
    )
    for row in as_table(changes).to_pylist():
        values = ", ".join(["%s"] * (len(row) + 1))
        cursor.execute(f"INSERT INTO staged VALUES ({values})", (*row.values(), attempt))


def test_what_is_staged_and_not_yet_committed_is_known_and_stays_known_when_it_is(
    database_url: str, tmp_path: Path
) -> None:
    upgrade(database_url)
    here, there = tmp_path / "here", tmp_path / "there"
    for number in range(7):  # the next one makes eight, which become one
        count(database_url, SeenIds("m.events", DAY_MS, here), batch(number, 1, 0))
    with transaction(database_url) as cursor:
        first, changes = SeenIds("m.events", DAY_MS, here).first_ones(cursor, batch(6, 3, 5))
        stage(cursor, changes, attempt=7)
        assert [bool(one) for one in first] == [False, True, True]
        assert any(change["replaces"] for change in changes)
        failed = batch(30, 1, 5)
        stage(cursor, SeenIds("m.events", DAY_MS, here).first_ones(cursor, failed)[1], attempt=6)
    behind = replace(SeenIds("m.events", DAY_MS, there), before=Uncommitted(STAGED, [7]))
    events = pa.concat_tables([batch(5, 6, 9), failed])
    expected = [False] * 4 + [True, True, True]
    with transaction(database_url) as cursor:
        assert [bool(one) for one in behind.first_ones(cursor, events)[0]] == expected
    with transaction(database_url) as cursor:
        seen_target().merge(cursor, Staged(STAGED, [7]))
    with transaction(database_url) as cursor:
        assert [bool(one) for one in behind.first_ones(cursor, events)[0]] == expected


def test_a_segment_that_was_staged_and_is_gone_is_no_error_of_the_batch(
    database_url: str, tmp_path: Path
) -> None:
    upgrade(database_url)
    seen = SeenIds("m.events", DAY_MS, tmp_path)
    with transaction(database_url) as cursor, pytest.raises(DatabaseAwayError, match="is gone"):
        seen.read(cursor, 2, "00000000-0000-0000-0000-000000000001")


def test_segments_stay_few_in_the_table_and_on_disk(database_url: str, tmp_path: Path) -> None:
    upgrade(database_url)
    seen = SeenIds("m.events", DAY_MS, tmp_path)
    for number in range(100):
        assert all(count(database_url, seen, batch(number * 10, 10, number)))
    with transaction(database_url) as cursor:
        cursor.execute("SELECT count(*), sum(events) FROM seen_events")
        ((segments, events),) = cursor.fetchall()
    assert (segments < 10, events) == (True, 1000)
    assert len(list((tmp_path / "m.events" / "2").iterdir())) <= segments + 1


def test_a_disk_without_them_is_filled_from_the_database(database_url: str, tmp_path: Path) -> None:
    upgrade(database_url)
    count(database_url, SeenIds("m.events", DAY_MS, tmp_path / "one"), batch(0, 5, 0))
    other = SeenIds("m.events", DAY_MS, tmp_path / "other")
    assert count(database_url, other, batch(3, 4, 10)) == [False, False, True, True]
    assert count(database_url, other, batch(0, 1, DAY_MS + 1)) == [True]
    assert count(database_url, SeenIds("m.other", DAY_MS, tmp_path), batch(0, 1, 1)) == [True]
