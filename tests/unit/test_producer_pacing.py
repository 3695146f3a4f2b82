"""Records are published when they are due, by a clock that the test moves."""

import numpy as np
import pytest

from encore.errors import EncoreError
from producer.pacing import SLICE, Pacer
from producer.records import Kind, RecordBlock
from producer.spans import iso, parse_moment, span_ms


class HandClock:
    """A clock that moves only when somebody waits."""

    def __init__(self, now: float) -> None:
        self.now = now

    def read(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def block_of(due_ms: list[int], *, live: bool = True) -> RecordBlock:
    count = len(due_ms)
    kinds = np.full(count, Kind.EVENT, dtype=np.uint8)
    return RecordBlock(kinds, [b"u1"] * count, [b"{}"] * count, np.array(due_ms), live)


def test_a_live_record_is_sent_when_it_is_due_and_no_later_than_the_next_look() -> None:
    clock = HandClock(100.0)
    pacer = Pacer(clock.read, clock.wait, lambda: False)
    due = [100_000 + 20 * index for index in range(500)]
    sent = [
        (int(one), clock.now * 1000) for part in pacer.slices(block_of(due)) for one in part.due
    ]
    assert [one for one, _ in sent] == due
    assert all(0 <= at - one <= 10.001 for one, at in sent)


def test_the_rate_is_held_within_two_percent() -> None:
    clock = HandClock(0.0)
    pacer = Pacer(clock.read, clock.wait, lambda: False)
    due = [index * 1000 // 730 for index in range(7_300)]
    sent = sum(len(part) for part in pacer.slices(block_of(due)))
    assert sent / clock.now == pytest.approx(730, rel=0.02)


def test_a_sender_that_was_held_up_catches_up_at_once() -> None:
    clock = HandClock(1_000.0)
    pacer = Pacer(clock.read, clock.wait, lambda: False)
    parts = list(pacer.slices(block_of(list(range(0, 900_000, 500)))))
    assert clock.now == 1_000.0
    assert max(len(part) for part in parts) == SLICE


def test_history_waits_for_nothing() -> None:
    clock = HandClock(0.0)
    pacer = Pacer(clock.read, clock.wait, lambda: False)
    sent = sum(len(part) for part in pacer.slices(block_of([9_000_000] * 1_200, live=False)))
    assert (sent, clock.now) == (1_200, 0.0)


def test_nothing_is_sent_once_a_stop_is_asked_for() -> None:
    clock, sent = HandClock(0.0), 0
    pacer = Pacer(clock.read, clock.wait, lambda: sent > 0)
    for part in pacer.slices(block_of([0] * 2_000)):
        sent += len(part)
    assert sent == SLICE


def test_acknowledgements_are_looked_at_while_waiting() -> None:
    clock, idled = HandClock(0.0), []
    pacer = Pacer(clock.read, clock.wait, lambda: False, lambda: idled.append(clock.now))
    list(pacer.slices(block_of([1_000])))
    assert 10 <= len(idled) <= 11


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("14d", 1_209_600_000),
        ("1h30m", 5_400_000),
        ("90s", 90_000),
        ("0", 0),
        ("0s", 0),
        ("250ms", 250),
    ],
)
def test_spans_are_read_as_people_write_them(text: str, milliseconds: int) -> None:
    assert span_ms(text) == milliseconds


@pytest.mark.parametrize("text", ["", "14", "d", "2 minutes", "-1d", "1d2"])
def test_what_is_no_span_is_named(text: str) -> None:
    with pytest.raises(EncoreError, match="is not a span of time"):
        span_ms(text)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-06-01T00:00:00Z", 1_780_272_000_000),
        ("2026-06-01T02:00:00+02:00", 1_780_272_000_000),
        ("2026-06-01", 1_780_272_000_000),
        ("1780272000000", 1_780_272_000_000),
        ("2m", 120_500),
    ],
)
def test_moments_are_iso_epoch_or_a_span_from_now(text: str, milliseconds: int) -> None:
    assert parse_moment(text, 500) == milliseconds


def test_what_is_no_moment_is_named() -> None:
    with pytest.raises(EncoreError, match="'noon' is not a moment"):
        parse_moment("noon", 0)


def test_a_moment_is_written_so_that_it_reads_back() -> None:
    assert iso(1_780_272_000_123) == "2026-06-01T00:00:00.123Z"
    assert parse_moment(iso(1_780_272_000_123), 0) == 1_780_272_000_123
