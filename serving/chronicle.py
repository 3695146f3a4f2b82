"""How the platform did: columns over time, for charts.

What was counted comes from ``ingest_audit``, so it reaches back to the first batch. What came in
and waited is known of the time that somebody watched this process (:class:`serving.pulse.Pulse`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any, Final

from serving.pulse import Sample
from serving.reader import Reader

_POINTS: Final = 90
_STEPS: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400)
_MOST_LISTENER_MINUTES: Final = 180

_FIRST: Final = """
SELECT extract(epoch FROM now())::float8 AS now,
       (SELECT extract(epoch FROM committed_at)::float8 FROM ingest_audit
         WHERE topic = $1 ORDER BY batch LIMIT 1) AS first
"""
_COUNTED: Final = """
SELECT floor(extract(epoch FROM a.committed_at) / $3)::bigint * $3 AS at,
       sum(a.read)::float8 / $3 AS committed, sum(a.rejected)::bigint AS rejected,
       avg((SELECT sum(p.ms::float8) FROM jsonb_each_text(a.phases) AS p (name, ms))) AS batch_ms
  FROM ingest_audit AS a WHERE a.topic = $1 AND a.committed_at >= to_timestamp($2)
 GROUP BY 1 ORDER BY 1
"""
_ACTIVE: Final = """
SELECT extract(epoch FROM minute)::bigint AS at, active_users AS active_listeners, events
  FROM platform_minutes
 WHERE minute >= now() - $1 * interval '1 minute' AND minute < date_trunc('minute', now())
 ORDER BY minute
"""


async def history(
    reader: Reader, samples: Iterable[Sample], topic: str, minutes: int | None
) -> dict[str, Any]:
    """Return the last minutes, or all since the first batch, in at most a hundred steps.

    Raises:
        ProblemError: PostgreSQL is away.
    """
    (known,) = await reader.rows(_FIRST, topic)
    now, first = known["now"], known["first"] or known["now"]
    begin = first if minutes is None else max(now - 60 * minutes, first)
    step = step_of(now - begin)
    begin = math.floor(begin / step) * step
    counted = {row["at"]: row for row in await reader.rows(_COUNTED, topic, begin, step)}
    times = list(range(begin, math.floor(now / step) * step, step))  # the step in hand is not over
    seen = by_step(samples, step)
    return {
        "step_seconds": step,
        "times": times,
        "arriving_per_second": [_mean(seen.get(at), lambda one: one.arriving) for at in times],
        "committed_per_second": [counted[at]["committed"] if at in counted else 0 for at in times],
        "lag": [_mean(seen.get(at), lambda one: one.lag) for at in times],
        "newest_seconds": [_mean(seen.get(at), lambda one: one.age) for at in times],
        "rejected": [counted[at]["rejected"] if at in counted else 0 for at in times],
        "batch_ms": [counted[at]["batch_ms"] if at in counted else None for at in times],
        "minutes": await _by_minute(reader, now, minutes),
    }


async def _by_minute(reader: Reader, now: float, minutes: int | None) -> dict[str, list[int]]:
    """Return the minutes that are over, from the first in which something happened."""
    reach = min(minutes or _MOST_LISTENER_MINUTES, _MOST_LISTENER_MINUTES)
    found = {row["at"]: row for row in await reader.rows(_ACTIVE, reach)}
    times = list(range(min(found), math.floor(now / 60) * 60, 60)) if found else []
    return {
        "times": times,
        **{
            name: [found[at][name] if at in found else 0 for at in times]
            for name in ("active_listeners", "events")
        },
    }


def step_of(seconds: float) -> int:
    """Return the width of a step in s, such that a span has not too many of them."""
    return next((step for step in _STEPS if seconds / step <= _POINTS), _STEPS[-1])


def by_step(samples: Iterable[Sample], step: int) -> dict[int, list[Sample]]:
    """Return samples by the beginning of the step that they fall in."""
    found: dict[int, list[Sample]] = {}
    for one in samples:
        found.setdefault(math.floor(one.at / step) * step, []).append(one)
    return found


def _mean(
    samples: Sequence[Sample] | None, value: Callable[[Sample], float | None]
) -> float | None:
    known = [found for one in samples or () if (found := value(one)) is not None]
    return fmean(known) if known else None
