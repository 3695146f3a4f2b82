"""What records that break the contract cost the good ones beside them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.backlog import Bench, evening, fill_topic, whole_job
from benchmarks.measure import Figure, compare, take_turns
from database.engine import transaction
from encore.events import Topics
from producer.records import Kind, RecordBlock

_GOOD, _POISON = 200_000, 10_000


def bench_poison(bench: Bench, repeats: int = 5) -> list[Figure]:
    """Measure the same good events with and without 10,000 poison records among them."""
    plan = evening(_GOOD + _GOOD // 100 + _POISON, seed=11)  # one in 100 comes twice
    plan = replace(plan, malformed=_POISON / _GOOD)
    with_poison = fill_topic(bench, "bench-poison", plan)
    without = fill_topic(bench, "bench-no-poison", plan, _good_only)
    found = take_turns(
        {
            "without": _speed(bench, without, poison=0),
            "with": _speed(bench, with_poison, poison=_POISON),
        },
        repeats=repeats,
    )
    return [
        compare(
            "good events amid poison",
            f"the same events without {_POISON:,} poison records among them",
            found["with"],
            found["without"],
            unit="events/s",
            target=">= 0.8",
        )
    ]


def _good_only(block: RecordBlock) -> RecordBlock:
    keep = np.flatnonzero(block.kinds != Kind.MALFORMED)
    return RecordBlock(
        block.kinds[keep],
        [block.keys[row] for row in keep.tolist()],
        [block.values[row] for row in keep.tolist()],
        block.due[keep],
        block.live,
    )


def _speed(bench: Bench, topics: Topics, *, poison: int) -> Callable[[], float]:
    def measured() -> float:
        seconds = whole_job(bench, topics, 50_000)
        with transaction(bench.database) as cursor:
            cursor.execute(
                "SELECT sum(accepted)::bigint, sum(rejected)::bigint FROM stream_offsets"
            )
            accepted, rejected = cursor.fetchall()[0]
        if abs(rejected - poison) > poison / 100 or abs(accepted - _GOOD) > _GOOD / 100:
            raise AssertionError(f"{accepted} accepted, {rejected} rejected: the topic is wrong")
        return float(accepted / seconds)

    return measured
