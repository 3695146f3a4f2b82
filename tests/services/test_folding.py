"""Old rows fold into coarser ones: nothing of what is left changes, and late events follow."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from psycopg2 import extensions

from database.engine import transaction
from database.migrate import upgrade
from encore.settings import load_settings
from streaming.features.catalogue import HalfLives, feature_targets
from streaming.features.grouping import text_lists
from streaming.features.signal import LISTENING
from streaming.features.times import instants
from streaming.folding import Keep, fold
from streaming.sink.postgres import PostgresSink, StagedBatch
from streaming.sink.progress import Tally

pytestmark = pytest.mark.services

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEEP = Keep(five_minutes=timedelta(days=7), hours=timedelta(days=30))


def at(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


YESTERDAY, LAST_WEEK, SUMMER = at(11, 20, 10, 5), at(11, 10, 10, 5), at(8, 1, 10, 5)


@pytest.fixture
def sink(database_url: str) -> Iterator[PostgresSink]:
    upgrade(database_url)
    targets = [
        one
        for one in feature_targets(HalfLives.of(load_settings()))
        if one.name.startswith(("item_counts", "item_listeners"))
    ]
    made = PostgresSink(
        database_url, "m.events", "id-1", targets, lock_timeout_ms=5_000, hook=lambda _: None
    )
    made.open()
    yield made
    made.close()


def play(sink: PostgresSink, offset: int, *plays: tuple[str, datetime]) -> None:
    """Count plays of the track t1, each by a user at the start of five minutes."""
    sink.empty(0)
    with sink.areas[0].writer(offset) as writer:
        for grain in ("5m", "hour", "day"):
            writer.copy(f"item_counts_{grain}", _counts([when for _, when in plays], grain))
        writer.copy("item_listeners", _listeners(plays))
    tally = Tally(0, len(plays), 0, 0, 0, 1)
    sink.merge(offset, StagedBatch(0, sink.recorded(), {0: offset}, [offset], [tally]))


def _counts(moments: Sequence[datetime], grain: str) -> pa.Table:
    coarser: dict[str, dict[str, Any]] = {"5m": {}, "hour": {"minute": 0}}
    starts = [when.replace(**coarser.get(grain, {"hour": 0, "minute": 0})) for when in moments]
    buckets = sorted(set(starts))
    plays = [starts.count(bucket) for bucket in buckets]
    zeros = dict.fromkeys(LISTENING, [0] * len(buckets))
    columns = {"item_id": ["t1"] * len(buckets), "bucket_start": buckets, **zeros, "plays": plays}
    return pa.table(columns)


def _listeners(plays: Sequence[tuple[str, datetime]]) -> pa.Table:
    users = pa.array([user for user, _ in plays])
    bounds = pa.array(range(len(plays) + 1)).to_numpy()
    micros = pa.array([round(when.timestamp() * 1e6) for _, when in plays]).to_numpy()
    return pa.table(
        {
            "item_id": ["t1"] * len(plays),
            "bucket_start": instants(micros),
            "user_ids": text_lists(users, bounds),
        }
    )


def rows(cursor: extensions.cursor, grain: str) -> list[tuple[datetime, int, int]]:
    cursor.execute(f"SELECT bucket_start, plays, listeners FROM item_activity_{grain} ORDER BY 1")
    return cursor.fetchall()


def test_old_rows_fold_and_what_is_left_stays_exact(sink: PostgresSink, database_url: str) -> None:
    play(sink, 1, ("u1", YESTERDAY), ("u1", LAST_WEEK), ("u2", LAST_WEEK), ("u1", SUMMER))
    play(sink, 2, ("u1", at(11, 10, 10, 50)), ("u2", at(8, 1, 23, 0)))
    with transaction(database_url) as cursor:
        hours, days = rows(cursor, "hour"), rows(cursor, "day")
    assert fold(database_url, "m.events", KEEP, NOW) == {"item_counts_5m": 4, "item_counts_hour": 2}
    with transaction(database_url) as cursor:
        assert rows(cursor, "5m") == [(YESTERDAY, 1, 1)]
        assert rows(cursor, "hour") == [row for row in hours if row[0] > at(10, 1, 0)]
        assert rows(cursor, "hour")[0] == (at(11, 10, 10), 3, 2)
        assert rows(cursor, "day") == days
        assert rows(cursor, "day")[0] == (at(8, 1, 0), 2, 2)
    assert fold(database_url, "m.events", KEEP, NOW) == {}


def test_late_events_of_folded_time_are_counted_at_the_grain_that_is_left(
    sink: PostgresSink, database_url: str
) -> None:
    fold(database_url, "m.events", KEEP, NOW)
    play(sink, 1, ("u1", LAST_WEEK), ("u1", SUMMER), ("u2", YESTERDAY))
    play(sink, 2, ("u1", LAST_WEEK), ("u3", SUMMER))
    with transaction(database_url) as cursor:
        assert rows(cursor, "5m") == [(YESTERDAY, 1, 1)]
        assert rows(cursor, "hour") == [(at(11, 10, 10), 2, 1), (at(11, 20, 10), 1, 1)]
        assert rows(cursor, "day")[:2] == [(at(8, 1, 0), 2, 2), (at(11, 10, 0), 2, 1)]


def test_without_the_settings_nothing_folds(sink: PostgresSink, database_url: str) -> None:
    play(sink, 1, ("u1", SUMMER))
    assert fold(database_url, "m.events", Keep.of(load_settings()), NOW) == {}
    with transaction(database_url) as cursor:
        assert rows(cursor, "5m") == [(SUMMER, 1, 1)]
