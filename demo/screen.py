"""Where the demo shows itself: live on a terminal, else as a log line now and then."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from rich.console import Console, RenderableType
from rich.live import Live

from demo.snapshot import Snapshot
from demo.view import render
from encore.log import configure_logging, get_logger
from encore.settings import settings

log = get_logger("demo")

LOG_SECONDS: Final = 5.0
FRAMES_A_SECOND: Final = 4


class Screen(AbstractContextManager["Screen"], Protocol):
    """Shows snapshots while it is entered."""

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""


class LiveScreen:
    """Draws on a terminal; log lines go to a file meanwhile, so that they do not tear it."""

    def __init__(self, console: Console, log_file: Path, elapsed: Callable[[], float]) -> None:
        self._console = console
        self._log_file = log_file
        self._elapsed = elapsed
        self._snapshot = Snapshot()
        self._file: TextIO | None = None
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=FRAMES_A_SECOND
        )

    def __enter__(self) -> Self:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._log_file.open("a", encoding="utf-8")
        configure_logging(settings().log_format, settings().log_level, self._file)
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._live.stop()
        finally:
            configure_logging(settings().log_format, settings().log_level)
            if self._file is not None:
                self._file.close()

    def show(self, snapshot: Snapshot) -> None:
        """Draw this snapshot from now on."""
        self._snapshot = snapshot

    def _render(self) -> RenderableType:
        current = replace(self._snapshot, seconds=self._elapsed())
        return render(current, self._console.height)


class LogScreen:
    """Logs each step as it ends, and how it goes every few seconds."""

    def __init__(self) -> None:
        self._told_at = 0.0
        self._told_steps = 0
        self._told_notes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave nothing behind."""

    def show(self, snapshot: Snapshot) -> None:
        """Log what is new."""
        done = [step for step in snapshot.steps if step.seconds is not None]
        for step in done[self._told_steps :]:
            log.info(step.name, step_seconds=round(step.seconds or 0.0, 1))
        for note in snapshot.notes[self._told_notes :]:
            log.warning(note)
        self._told_steps, self._told_notes = len(done), len(snapshot.notes)
        if snapshot.flow.produced and snapshot.seconds - self._told_at >= LOG_SECONDS:
            self._told_at = snapshot.seconds
            log.info("running", **log_fields(snapshot))


def log_fields(snapshot: Snapshot) -> dict[str, object]:
    """Return what a log line says of a snapshot."""
    flow, model, listener = snapshot.flow, snapshot.model, snapshot.listener
    fields: dict[str, object] = {
        "seconds": round(snapshot.seconds),
        "arriving": round(flow.arriving),
        "committing": round(flow.committing),
        "lag": flow.lag,
        "freshness": None if flow.counted.freshness is None else round(flow.counted.freshness, 1),
        "accepted": flow.counted.accepted,
        "late": flow.counted.late,
        "duplicate": flow.counted.duplicate,
        "rejected": flow.counted.rejected,
        "model_run": model.model_run_id if model else None,
        "training": snapshot.training,
    }
    if snapshot.trending:
        fields["trending"] = snapshot.trending[0].title
    if listener and listener.recommendations:
        first = listener.recommendations[0]
        fields["recommended"] = f"{listener.user_id}: {first.title} ({first.source})"
    return fields


def open_screen(log_file: Path, elapsed: Callable[[], float]) -> LiveScreen | LogScreen:
    """Return the live view on a terminal, log lines elsewhere."""
    console = Console()
    return LiveScreen(console, log_file, elapsed) if console.is_terminal else LogScreen()
