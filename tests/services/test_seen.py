"""Ids of accepted events between batches: stored with the counts, kept on disk, and no more."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from database.engine import transaction
from database.migrate import upgrade
from streaming.seen import SeenIds, as_table

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
        for row in as_table(changes).to_pylist():
            cursor.execute(
                "DELETE FROM seen_events WHERE segment = ANY (%s::uuid[])", (row["replaces"],)
            )
            cursor.execute(
                "INSERT INTO seen_events VALUES (%s, %s, %s, %s, %s, %s::bytea)",
                [row[name] for name in ("segment", "topic", "partition", "events", "newest_ms")]
                + [row["packed"]],
            )
    return [bool(one) for one in np.asarray(first)]


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
