"""Exponentially decayed sums that can be added up in one pass and merged in any order.

A decayed sum is kept as ``score`` as of the newest event in it: every signal counts
``2^(-(as_of - event_at) / half_life)``. Two such sums merge by carrying both on to the later
``as_of`` (forward decay, after Cormode, Shkapenyuk, Srivastava and Xu, ICDE 2009).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

# A double has about 1,000 powers of two below one. Within half of them nothing is lost.
_HALF_LIVES_A_SPAN = 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of event time, (after, until], short enough to be summed as of its end."""

    after: datetime
    until: datetime


def spans(oldest: datetime, newest: datetime, half_life: timedelta) -> list[Span]:
    """Return the spans that hold the time from the oldest to the newest event, oldest first.

    Spans lie on a fixed grid, so that one micro-batch's plan has the same constants as the last
    one's and Spark need not compile it again. A batch of a live stream is one span; an imported
    history of years may be several.
    """
    width = half_life * _HALF_LIVES_A_SPAN
    first, last = _cell(oldest, width), _cell(newest, width)
    return [
        Span(_EPOCH + width * number, _EPOCH + width * (number + 1))
        for number in range(first, last + 1)
    ]


def _cell(at: datetime, width: timedelta) -> int:
    """Return the number of the span that holds a moment: its end belongs to it, not its start."""
    return -((_EPOCH - at) // width) - 1


def decayed_sum(signal: str, event_at: str, half_life: timedelta, within: Sequence[Span]) -> Column:
    """Return the aggregate: the sum of a signal as of the newest event of its group."""
    newest = _seconds(F.max(event_at))
    carried = [
        F.sum(_as_of_end(signal, event_at, half_life, span))
        * _power(_seconds(F.lit(span.until)) - newest, half_life)
        for span in within
    ]
    total = carried[0]
    for one in carried[1:]:
        total = total + one
    return total


def _as_of_end(signal: str, event_at: str, half_life: timedelta, span: Span) -> Column:
    inside = (F.col(event_at) > F.lit(span.after)) & (F.col(event_at) <= F.lit(span.until))
    age = _seconds(F.lit(span.until)) - _seconds(F.col(event_at))
    return F.when(inside, F.col(signal) * _power(-age, half_life)).otherwise(F.lit(0.0))


def _power(seconds: Column, half_life: timedelta) -> Column:
    # The bound keeps 0 * infinity (a span without events, far from the newest) from being NaN.
    exponent = F.least(F.lit(1000.0), seconds / F.lit(half_life.total_seconds()))
    return F.pow(F.lit(2.0), exponent)


def _seconds(at: Column) -> Column:
    return F.unix_micros(at) / F.lit(1e6)
