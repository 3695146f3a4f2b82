"""How a batch moves the recorded offsets, and when the job refuses to begin."""

from pathlib import Path
from typing import Any

import pytest

from encore.errors import EncoreError, SettingsError
from streaming import startup
from streaming.checkpoint import Checkpoint
from streaming.sink.progress import Advance, Tally, advances
from streaming.startup import beginning, claim_settings

NOON_MS = 1_793_534_400_000


def tally(partition: int, accepted: int, duplicate: int = 0, rejected: int = 0) -> Tally:
    return Tally(partition, accepted, 1, duplicate, rejected, NOON_MS)


def test_a_step_takes_its_counts_from_the_tally() -> None:
    found = advances({0: 100}, {0: 200}, [tally(0, 90, 7, 3)])
    expected = Advance(
        0, 100, 200, accepted=90, late=1, duplicate=7, rejected=3, arrived_ms=NOON_MS
    )
    assert found == [expected]
    assert (expected.read, expected.gaps) == (100, 0)


def test_offsets_without_a_record_are_gaps_and_no_duplicates() -> None:
    (step,) = advances({0: 0}, {0: 500}, [tally(0, 10)])
    assert (step.end, step.read, step.duplicate, step.gaps) == (500, 10, 0, 490)


def test_a_partition_without_a_record_moves_as_well() -> None:
    (step,) = advances({0: 100}, {0: 103}, [])
    assert (step.read, step.gaps) == (0, 3)


def test_a_partition_that_is_counted_already_stays() -> None:
    assert advances({0: 200, 1: 7}, {0: 200, 1: 7}, []) == []
    assert advances({0: 300}, {0: 200}, []) == []


def test_a_partition_seen_for_the_first_time_begins_at_its_start() -> None:
    (step,) = advances({}, {4: 2}, [tally(4, 2)])
    assert (step.start, step.end) == (0, 2)


def offsets_of_kafka(
    monkeypatch: pytest.MonkeyPatch, oldest: dict[int, int], ends: dict[int, int]
) -> None:
    for name, offsets in (("beginning_offsets", oldest), ("end_offsets", ends)):
        answer = {("music.events", part): offset for part, offset in offsets.items()}
        monkeypatch.setattr(startup, name, lambda *_, answer=answer: answer)


def test_a_first_start_begins_at_what_kafka_has(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets_of_kafka(monkeypatch, {0: 5, 1: 0}, {0: 9, 1: 9})
    assert beginning("b", "music.events", {}) == {0: 5, 1: 0}


def test_every_other_start_begins_at_what_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets_of_kafka(monkeypatch, {0: 0, 1: 30, 2: 0}, {0: 100, 1: 40, 2: 7})
    known = {0: 100, 1: 30}
    assert beginning("b", "music.events", known) == {0: 100, 1: 30, 2: 0}


def test_records_thrown_away_before_they_were_counted_are_never_skipped_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offsets_of_kafka(monkeypatch, {0: 150}, {0: 200})
    with pytest.raises(EncoreError, match=r"50 in partitions \[0\]"):
        beginning("b", "music.events", {0: 100})


def test_a_topic_with_fewer_records_than_were_counted_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offsets_of_kafka(monkeypatch, {0: 0, 1: 0}, {0: 99, 1: 10})
    with pytest.raises(EncoreError, match=r"fewer records .* in partitions \[0\]"):
        beginning("b", "music.events", {0: 100, 1: 10})


def test_the_ends_of_a_batch_are_read_from_sparks_own_record(tmp_path: Path) -> None:
    folder = tmp_path / "music.events"
    (folder / "commits").mkdir(parents=True)
    checkpoint = Checkpoint(folder)
    assert list(folder.iterdir()) == []  # what an earlier run left is of no use
    (folder / "offsets").mkdir()
    (folder / "offsets" / "3").write_text(
        'v1\n{"batchWatermarkMs":0,"batchTimestampMs":1}\n{"music.events":{"0":12,"1":0}}'
    )
    assert checkpoint.batch_ends(3) == {0: 12, 1: 0}
    assert checkpoint.location == f"file://{folder}"
    checkpoint.remove()
    assert not folder.exists()


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
