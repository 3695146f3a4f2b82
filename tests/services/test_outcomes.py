"""Which plays and likes count for what was shown, whatever the batches; values by hand."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from database.engine import transaction
from database.migrate import upgrade
from streaming.features.outcomes import (
    IMPRESSIONS,
    OUTCOMES,
    Acts,
    Attribution,
    impressions,
    outcome_targets,
)
from streaming.features.signal import SignalRules
from streaming.folding import forget_impressions
from streaming.sink.postgres import PostgresSink, StagedBatch
from streaming.sink.progress import Tally

pytestmark = pytest.mark.services

HOUR = timedelta(hours=1)
SPANS = Attribution(window=24 * HOUR, lateness=2 * HOUR)
ACTS = Acts(SignalRules(complete_ratio=0.9, skip_ratio=0.3, like=2.0, playlist_add=3.0))
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TEXTS = ("event_type", "user_id", "item_id", "session_id", "device", "country", "level",
         "source", "variant")  # fmt: skip
COLUMNS = pa.schema(
    [
        ("partition", pa.int32()),
        *((name, pa.int64()) for name in ("offset", "arrived_ms", "event_ts", "duration_ms",
                                          "ms_played", "position", "model_run_id")),
        *((name, pa.string()) for name in TEXTS),
    ]
)  # fmt: skip
Event = Mapping[str, Any]
Outcome = tuple[datetime, int, str, str, int, int, int, int, int, int]


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url)
    return database_url


@pytest.fixture
def sink(url: str) -> Iterator[PostgresSink]:
    made = PostgresSink(
        url, "m.events", "id-1", outcome_targets(SPANS), lock_timeout_ms=5_000, hook=lambda _: None
    )
    made.open()
    yield made
    made.close()


def event(
    kind: str, at: datetime, *, item: str = "t1", arrived: datetime | None = None, **more: Any
) -> dict[str, Any]:
    """Return an event of u1 that arrives when it happens, unless told otherwise."""
    return {
        "partition": 0,
        "event_type": kind,
        "event_ts": ms(at),
        "arrived_ms": ms(arrived or at),
        "user_id": "u1",
        "item_id": item,
        **more,
    }


def shown(at: datetime, position: int = 1, *, run: int | None = 7, **more: Any) -> dict[str, Any]:
    names = {"source": "personal", "model_run_id": run, "position": position}
    return event("impression", at, **{**names, **more})


def played(at: datetime, share: float = 1.0, **more: Any) -> dict[str, Any]:
    return event("listen", at, duration_ms=200_000, ms_played=round(share * 200_000), **more)


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def count(sink: PostgresSink, begin: int, events: Sequence[Event]) -> int:
    """Count a batch of the events at the offsets from ``begin`` on; return where the next is."""
    sink.empty(0)
    placed = [{**one, "offset": begin + number} for number, one in enumerate(events)]
    table = pa.Table.from_pylist(placed, COLUMNS)
    with sink.areas[0].writer(1) as writer:
        writer.copy(IMPRESSIONS, impressions(table))
        writer.copy(OUTCOMES, ACTS(table))
    end = begin + len(events)
    newest = max(one["arrived_ms"] for one in events)
    ends = dict.fromkeys({one["partition"] for one in events}, end)
    tallies = [Tally(number, len(events), 0, 0, 0, newest) for number in ends]
    sink.merge(begin, StagedBatch(0, sink.recorded(), ends, [1], tallies))
    return end


def outcomes(url: str) -> list[Outcome]:
    with transaction(url) as cursor:
        cursor.execute("SELECT * FROM recommendation_outcomes ORDER BY 1, 2, 3, 4, 5")
        return cursor.fetchall()


HISTORY = [
    shown(NOON, 1),
    shown(NOON, 2, item="t2"),
    played(NOON + HOUR, 0.2),  # the first of t1: a skip
    played(NOON + HOUR),  # one impression has one play
    event("like", NOON + HOUR),
    event("like", NOON + HOUR),
    played(NOON + HOUR, item="t3"),  # nobody showed it
    played(NOON - HOUR, item="t2", arrived=NOON + HOUR),  # before it was shown
    shown(NOON + 2 * HOUR, 1, run=8),
    shown(NOON + 2 * HOUR, 3, item="t4", run=None, source="popular", variant="blend:b"),
    played(NOON + 2 * HOUR, 0.95),  # of t1: the newest impression, at the very moment
    played(NOON + HOUR, arrived=NOON + 2 * HOUR),  # of the impression at noon, which has a play
    event("unlike", NOON + 2 * HOUR),
    played(NOON + 3 * HOUR, 0.5, item="t4"),
]
COUNTED = [
    (NOON, 7, "", "personal", 1, 1, 1, 0, 1, 1),
    (NOON, 7, "", "personal", 2, 1, 0, 0, 0, 0),
    (NOON + 2 * HOUR, 0, "blend:b", "popular", 3, 1, 1, 0, 0, 0),
    (NOON + 2 * HOUR, 8, "", "personal", 1, 1, 1, 1, 0, 0),
]


@pytest.mark.parametrize("most", [len(HISTORY), 3, 1])
def test_what_counts_does_not_depend_on_where_batches_end(
    sink: PostgresSink, url: str, most: int
) -> None:
    for begin in range(0, len(HISTORY), most):
        count(sink, begin, HISTORY[begin : begin + most])
    assert outcomes(url) == COUNTED
    with transaction(url) as cursor:
        cursor.execute(
            "SELECT click_through FROM click_through ORDER BY hour, model_run_id, position"
        )
        assert cursor.fetchall() == [(1.0,), (0.0,), (1.0,), (1.0,)]


def test_the_window_is_open_at_its_far_end_and_what_comes_too_late_counts_for_nothing(
    sink: PostgresSink, url: str
) -> None:
    moment, day = timedelta(milliseconds=1), 24 * HOUR
    events = [
        *(shown(NOON, number, item=f"t{number}") for number in range(1, 6)),
        played(NOON + day - moment, item="t1"),
        played(NOON + day, item="t2"),
        played(NOON, item="t3", arrived=NOON + 26 * HOUR),
        played(NOON, item="t4", arrived=NOON + 26 * HOUR + moment),
        {**played(NOON, item="t5"), "partition": 1},  # of a sender that does not key by user
    ]
    for begin, one in enumerate(events):
        count(sink, begin, [one])
    assert [(row[4], row[6]) for row in outcomes(url)] == [(1, 1), (2, 0), (3, 1), (4, 0), (5, 0)]


def test_an_impression_that_comes_after_an_act_in_kafka_does_not_count_it(
    sink: PostgresSink, url: str
) -> None:
    late = NOON + HOUR
    count(sink, 0, [played(NOON + timedelta(minutes=5), arrived=late), shown(NOON, arrived=late)])
    assert [row[5:7] for row in outcomes(url)] == [(1, 0)]


def test_impressions_go_when_nothing_can_follow_them_and_nothing_counted_changes(
    sink: PostgresSink, url: str
) -> None:
    at = count(sink, 0, [shown(NOON), played(NOON + HOUR), shown(NOON + 2 * HOUR, 2)])
    assert forget_impressions(url, "m.events", SPANS) == 0
    # Window, lateness and an hour for clocks that step back after the first, and a moment.
    at = count(sink, at, [event("like", NOON + 27 * HOUR + timedelta(milliseconds=1))])
    before = outcomes(url)
    assert forget_impressions(url, "another.events", SPANS) == 0
    assert forget_impressions(url, "m.events", SPANS) == 1
    with transaction(url) as cursor:
        cursor.execute("SELECT position, played, liked FROM impressions")
        assert cursor.fetchall() == [(2, False, False)]
    assert outcomes(url) == before
