"""How a batch moves the recorded offsets, and when the job refuses to begin or distrusts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from encore.errors import EncoreError, SettingsError
from streaming import startup
from streaming.features.decay import Span, spans
from streaming.sink.progress import Advance, Recorded, Tally, advances
from streaming.startup import (
    Beginning,
    beginning,
    checkpoint_location,
    claim_settings,
    mistrust,
)

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(hours=24)


def recorded(next_offset: int, *, ago: timedelta = timedelta(0)) -> Recorded:
    return Recorded(next_offset, arrived_at=NOON, updated_at=NOON - ago)


def test_what_is_neither_accepted_nor_rejected_was_a_duplicate() -> None:
    tallies = [Tally(0, accepted=90, late=5, rejected=3, arrived_at=NOON)]
    assert advances({0: 100}, {0: 200}, tallies, compacted=False) == [
        Advance(0, 100, 200, accepted=90, late=5, duplicate=7, rejected=3, arrived_at=NOON)
    ]


def test_a_partition_of_duplicates_alone_moves_as_well() -> None:
    assert advances({0: 100}, {0: 103}, [], compacted=False) == [Advance(0, 100, 103, duplicate=3)]


def test_gaps_of_a_compacted_topic_are_no_duplicates() -> None:
    tallies = [Tally(0, accepted=10, late=0, rejected=0, arrived_at=NOON)]
    (step,) = advances({0: 0}, {0: 500}, tallies, compacted=True)
    assert (step.end, step.read, step.duplicate) == (500, 10, 0)


def test_a_partition_that_is_counted_already_stays() -> None:
    assert advances({0: 200, 1: 7}, {0: 200, 1: 7}, [], compacted=False) == []
    assert advances({0: 300}, {0: 200}, [], compacted=False) == []


def test_a_partition_seen_for_the_first_time_begins_at_its_start() -> None:
    tallies = [Tally(4, accepted=2, late=0, rejected=0, arrived_at=NOON)]
    (step,) = advances({}, {4: 2}, tallies, compacted=False)
    assert (step.start, step.end) == (0, 2)


class FakeKafka:
    """Offsets as a broker would give them."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, oldest: dict[int, int], since: dict[int, int]
    ) -> None:
        self.asked_ms: list[int] = []

        def beginning_offsets(_: str, topics: list[str]) -> dict[tuple[str, int], int]:
            return {(topics[0], part): offset for part, offset in oldest.items()}

        def offsets_since(_: str, __: str, at_ms: int) -> dict[int, int]:
            self.asked_ms.append(at_ms)
            return since

        monkeypatch.setattr(startup, "beginning_offsets", beginning_offsets)
        monkeypatch.setattr(startup, "offsets_since", offsets_since)


def test_a_first_start_begins_at_what_kafka_has(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeKafka(monkeypatch, {0: 5, 1: 0}, {})
    assert beginning("b", "t", {}, DAY) == Beginning({0: 5, 1: 0}, {0: 5, 1: 0})


def test_a_start_without_checkpoint_reads_back_one_horizon_and_counts_none_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = FakeKafka(monkeypatch, {0: 0, 1: 0}, {0: 40})  # partition 1: nothing since
    known = {0: recorded(100), 1: recorded(30)}
    assert beginning("b", "t", known, DAY) == Beginning({0: 100, 1: 30}, {0: 40, 1: 30})
    assert kafka.asked_ms == [int((NOON - DAY).timestamp() * 1000)]


def test_records_thrown_away_before_they_were_counted_are_never_skipped_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FakeKafka(monkeypatch, {0: 150}, {})
    with pytest.raises(EncoreError, match=r"50 in partitions \[0\]"):
        beginning("b", "music.events", {0: recorded(100)}, DAY)


class FakeCheckpoint:
    """What Spark would have committed."""

    def __init__(self, ends: dict[int, int] | None, *, exists: bool = True) -> None:
        self._ends = ends
        self._exists = exists

    def exists(self) -> bool:
        return self._exists

    def committed_ends(self) -> dict[int, int] | None:
        return self._ends


@pytest.mark.parametrize(
    ("checkpoint", "known", "because"),
    [
        (FakeCheckpoint(None, exists=False), {}, None),
        (FakeCheckpoint({0: 100}), {0: recorded(100)}, None),
        (FakeCheckpoint({0: 90}), {0: recorded(100)}, None),
        (FakeCheckpoint({0: 100}), {0: recorded(90)}, "it is ahead of the database"),
        (FakeCheckpoint({0: 100}), {}, "it is ahead of the database"),
        (FakeCheckpoint(None), {0: recorded(0)}, "it was never committed"),
        (
            FakeCheckpoint({0: 100}),
            {0: recorded(100, ago=timedelta(hours=13))},
            "the job was away for more than half of the duplicate horizon",
        ),
    ],
)
def test_a_checkpoint_is_trusted_only_where_it_fits_the_database(
    checkpoint: Any, known: dict[int, Recorded], because: str | None
) -> None:
    assert mistrust(checkpoint, known, DAY, NOON) == because


def test_another_topic_or_number_of_partitions_gets_a_checkpoint_of_its_own() -> None:
    one = checkpoint_location("file:///c/", "music.events", "id-1", 4)
    assert one.startswith("file:///c/music.events-")
    assert one == checkpoint_location("file:///c", "music.events", "id-1", 4)
    assert one != checkpoint_location("file:///c", "music.events", "id-2", 4)
    assert one != checkpoint_location("file:///c", "music.events", "id-1", 8)


def test_spans_cover_the_time_on_a_fixed_grid_without_a_gap() -> None:
    hour = timedelta(hours=1)
    start = datetime(1970, 1, 1, tzinfo=UTC)
    first, second = Span(start, start + 512 * hour), Span(start + 512 * hour, start + 1024 * hour)
    assert spans(start + hour, start + 2 * hour, hour) == [first]
    assert spans(start + hour, start + 1000 * hour, hour) == [first, second]
    assert spans(start + 512 * hour, start + 512 * hour, hour) == [first]
    after = start + 512 * hour + timedelta(milliseconds=1)
    assert spans(after, after, hour) == [second]


class FakeCursor:
    """A table of settings with one row."""

    connection = type("Connection", (), {"encoding": "UTF8"})()

    def __init__(self, stored: dict[str, float]) -> None:
        self._stored = stored

    def mogrify(self, _: object, __: object) -> bytes:
        return b""

    def execute(self, *_: object) -> None:
        """Take the statement."""

    def fetchall(self) -> list[tuple[str, float]]:
        return list(self._stored.items())


def test_features_built_with_other_settings_are_not_added_to() -> None:
    cursor: Any = FakeCursor({"weight_like": 2.0})
    claim_settings(cursor, {"weight_like": 2.0})
    with pytest.raises(SettingsError, match=r"WEIGHT_LIKE=3, but .* built with 2"):
        claim_settings(cursor, {"weight_like": 3.0})


def test_what_ended_a_query_is_told_in_one_sentence() -> None:
    from pyspark.errors import StreamingQueryException

    from streaming.job import explain

    python = (
        "[STREAM_FAILED] Query [id = 1] terminated with exception: [FOREACH_BATCH] Reason: "
        "Traceback (most recent call last):\n  File a.py, line 3\n"
        "psycopg2.OperationalError: server closed the connection unexpectedly\n\tat java.lang\n"
    )
    assert explain(StreamingQueryException(python)) == "server closed the connection unexpectedly"
    spark = "[STREAM_FAILED] Query terminated with exception: offsets are gone\n=== Plan ===\nX"
    assert explain(StreamingQueryException(spark)) == "offsets are gone"
