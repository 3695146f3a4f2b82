"""Tasks that die, are retried, or write twice: their rows count once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from database.engine import transaction
from database.migrate import upgrade
from streaming.features.catalogue import HalfLives, feature_targets
from streaming.sink.postgres import PostgresSink, StagedBatch
from streaming.sink.progress import Tally
from tests.faults.pipeline import Pipeline

pytestmark = [pytest.mark.faults, pytest.mark.services]

Rows = Sequence[Mapping[str, object]]
HALF_LIVES = HalfLives(affinity=timedelta(days=30), trend=timedelta(hours=6))
COUNTS = {
    "plays": 1,
    "completes": 0,
    "skips": 1,
    "likes": 0,
    "unlikes": 0,
    "dislikes": 0,
    "playlist_adds": 0,
    "ms_played": 1000,
}


def test_a_task_killed_in_mid_copy_is_retried_and_counts_once(pipeline: Pipeline) -> None:
    # Without users and items: the task that dies is one of the events.
    pipeline.produce("--seed=5", "--no-entities")
    said = pipeline.refused(STREAM_FAULT="in-copy", SPARK_MASTER="local[2]")
    assert "start it again to go on" in said, said
    assert pipeline.counted() == 0
    # Spark may try a task three times now.
    pipeline.count_all(STREAM_FAULT="in-copy", SPARK_MASTER="local[2,3]")
    assert list(pipeline.folder.rglob("task-fault")) == []  # who dies removes it
    pipeline.assert_exact()
    assert pipeline.staging_tables() == 0


@pytest.fixture
def database(database_url: str) -> str:
    upgrade(database_url)
    return database_url


@contextmanager
def sink_of(database: str) -> Iterator[PostgresSink]:
    sink = PostgresSink(
        database,
        "events",
        "id-1",
        feature_targets(HALF_LIVES),
        lock_timeout_ms=10_000,
        hook=lambda _: None,
    )
    sink.open()
    sink.begin({0: 0})
    try:
        yield sink
    finally:
        sink.close()


def write(
    sink: PostgresSink,
    end: int,
    staged: Mapping[int, Mapping[str, Rows]],
    reported: Sequence[int],
) -> None:
    """Write a batch up to ``end`` of which each attempt staged its rows."""
    sink.empty(0)
    for attempt, deltas in staged.items():
        with sink.areas[0].writer(attempt) as writer:
            for name, rows in deltas.items():
                writer.copy(name, _table(rows))
    begins = sink.recorded()
    tally = Tally(0, end - begins[0], 0, 0, 0, arrived_ms=1_793_491_200_000)
    sink.merge(0, StagedBatch(0, begins, {0: end}, reported, [tally]))


def on_1st(hour: int) -> datetime:
    return datetime(2026, 11, 1, hour, tzinfo=UTC)


def _table(rows: Rows) -> pa.Table:
    return pa.table({name: [row[name] for row in rows] for name in rows[0]})


def rows_of(database: str, query: str) -> list[tuple[Any, ...]]:
    with transaction(database) as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_of_a_task_that_wrote_twice_the_attempt_that_spark_reports_is_merged(
    database: str,
) -> None:
    rows: Mapping[str, Rows] = {
        "item_counts_day": [{"item_id": "i", "bucket_start": on_1st(0), **COUNTS}],
        "user_counts_day": [
            {
                "user_id": "u",
                "day": date(2026, 11, 1),
                "events": 1,
                **COUNTS,
                "first_at": on_1st(8),
                "last_at": on_1st(8),
            }
        ],
        "minute_users": [{"minute": on_1st(8), "user_ids": ["u"]}],
        "item_trends": [
            {
                "country": "",
                "item_id": "i",
                "score": 1.0,
                "as_of": on_1st(8),
            }
        ],
    }
    with sink_of(database) as sink:
        write(sink, 1, {11: rows, 12: rows}, reported=[12])
        # What attempt 11 left is gone before the next batch, which may give its number again.
        write(sink, 2, {11: {}, 13: rows, 14: rows}, reported=[11, 13])
    assert rows_of(database, "SELECT plays, skips, ms_played FROM item_counts_day") == [
        (2, 2, 2000)
    ]
    assert rows_of(database, "SELECT events, plays FROM user_counts_day") == [(2, 2)]
    assert rows_of(database, "SELECT score FROM item_trends") == [(2.0,)]
    assert rows_of(database, "SELECT user_ids FROM minute_users") == [(["u"],), (["u"],)]
    assert rows_of(database, "SELECT next_offset, accepted FROM stream_offsets") == [(2, 2)]


def listened(signal: float, at: str) -> Mapping[str, object]:
    return {
        "user_id": "u",
        "item_id": "i",
        "signal": signal,
        **COUNTS,
        "first_at": datetime.fromisoformat(f"{at}T00:00Z"),
        "last_at": datetime.fromisoformat(f"{at}T00:00Z"),
    }


def test_a_key_that_two_tasks_report_though_it_is_one_listeners_is_added_up(
    database: str,
) -> None:
    """Records that nobody keyed: a user's events lie in several partitions."""
    other = {**listened(1.0, "2026-11-01"), "user_id": "v"}
    with sink_of(database) as sink:
        write(
            sink,
            10,
            {
                1: {"user_item_affinity": [listened(1.0, "2026-11-01"), other]},
                2: {"user_item_affinity": [listened(2.0, "2026-12-01")]},
            },
            reported=[1, 2],
        )
        # 30 days halve: 1.0 * 0.5 + 2.0
        assert affinity(database) == [
            (2.5, 2, 2000, utc(2026, 11, 1), utc(2026, 12, 1)),
            (1.0, 1, 1000, utc(2026, 11, 1), utc(2026, 11, 1)),
        ]
        write(
            sink,
            20,
            {
                3: {"user_item_affinity": [listened(4.0, "2026-12-31")]},
                4: {"user_item_affinity": [listened(8.0, "2026-11-01")]},
            },
            reported=[3, 4],
        )
    # (2.5 * 0.5 + 4.0) + 8.0 * 0.25
    assert affinity(database) == [
        (7.25, 4, 4000, utc(2026, 11, 1), utc(2026, 12, 31)),
        (1.0, 1, 1000, utc(2026, 11, 1), utc(2026, 11, 1)),
    ]


def test_a_key_that_any_task_may_report_is_added_up(database: str) -> None:
    def staged(score: float, at: int, plays: int) -> Mapping[str, Rows]:
        day = {"item_id": "i", "bucket_start": on_1st(0), **COUNTS, "plays": plays}
        trend = {"country": "SE", "item_id": "i", "score": score, "as_of": on_1st(at)}
        return {"item_counts_day": [day], "item_trends": [trend]}

    with sink_of(database) as sink:
        first = {1: staged(4.0, 0, 3), 2: staged(1.0, 6, 5), 3: staged(9.0, 0, 7)}
        write(sink, 10, first, reported=[1, 2])
        # 6 hours halve: 4.0 * 0.5 + 1.0
        assert rows_of(database, TRENDS) == [(3.0, utc(2026, 11, 1, 6), True)]
        assert rows_of(database, "SELECT plays, ms_played FROM item_counts_day") == [(8, 2000)]
        second = {4: staged(8.0, 12, 1), 5: staged(2.0, 6, 1)}
        write(sink, 20, second, reported=[4, 5])
    # 3.0 * 0.5 + 8.0 + 2.0 * 0.5
    assert rows_of(database, TRENDS) == [(10.5, utc(2026, 11, 1, 12), True)]
    assert rows_of(database, "SELECT plays, ms_played FROM item_counts_day") == [(10, 4000)]


TRENDS = "SELECT score, as_of, heat = heat(score, as_of, 21600) FROM item_trends"


def affinity(database: str) -> list[tuple[Any, ...]]:
    return rows_of(
        database,
        "SELECT signal, plays, ms_played, first_at, last_at FROM user_item_affinity "
        "ORDER BY user_id",
    )


def utc(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)
