"""How a run is going: a bar on a terminal, a log line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from encore.log import get_logger
from producer.tally import Tally

log = get_logger("producer")

Report = Callable[[Tally], None]
LOG_SECONDS: Final = 10.0
DRAW_SECONDS: Final = 0.2


class _Every:
    """Lets something happen at most once in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def elapsed(self) -> float | None:
        """Return the seconds since it last happened, or None if it is not time yet."""
        since = time.monotonic() - self._last
        if since < self._seconds:
            return None
        self._last = time.monotonic()
        return since


@contextmanager
def reporting(total_events: int | None, *, quiet: bool) -> Iterator[Report]:
    """Yield what a run calls often with its tally. ``total_events`` sizes the bar if known."""
    if quiet:
        yield lambda _tally: None
    elif sys.stderr.isatty():
        with _bar(total_events) as report:
            yield report
    else:
        yield _log_lines()


def _log_lines() -> Report:
    every, before = _Every(LOG_SECONDS), 0

    def report(tally: Tally) -> None:
        nonlocal before
        elapsed = every.elapsed()
        if elapsed is None:
            return
        sent = tally.sent.total()
        log.info(
            "producing",
            rate=round((sent - before) / elapsed, 1),
            sent=sent,
            acknowledged=tally.acknowledged.total(),
            failed=tally.failed.total(),
        )
        before = sent

    return report


@contextmanager
def _bar(total_events: int | None) -> Iterator[Report]:
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[rate]:>9,.0f}/s"),
        BarColumn(),
        TextColumn("sent {task.fields[sent]:,}  acknowledged {task.fields[acknowledged]:,}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = progress.add_task("producing", total=total_events, rate=0.0, sent=0, acknowledged=0)
    every, before = _Every(DRAW_SECONDS), 0

    def report(tally: Tally) -> None:
        nonlocal before
        elapsed = every.elapsed()
        if elapsed is None:
            return
        sent = tally.sent.total()
        progress.update(
            task,
            completed=tally.events_sent,
            rate=(sent - before) / elapsed,
            sent=sent,
            acknowledged=tally.acknowledged.total(),
        )
        before = sent

    with progress:
        yield report
