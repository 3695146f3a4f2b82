"""Run the demo from start to end: alone in its home, ending cleanly on Ctrl-C or SIGTERM."""

import fcntl
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import typer

from demo.pipeline import Demo, Options
from demo.report import summary_lines
from demo.screen import open_screen
from encore.errors import EncoreError
from encore.paths import encore_home

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_demo(options: Options, report_file: Path | None) -> None:
    """Run the demo; with an end of its own, write the report.

    Raises:
        EncoreError: something failed, a hop is empty, or the counts do not add up.
    """
    begun = time.monotonic()
    home = encore_home()
    with alone_in(home):
        report = _run(options, home, begun)
    if report is None:
        typer.echo("stopped; `encore demo` goes on from here, `encore demo --fresh` begins anew")
        return
    if report_file is not None:
        report_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for line in summary_lines(report):
        typer.echo(line)
    if report["problems"]:
        raise EncoreError("the demo did not work: " + "; ".join(report["problems"]))


def _run(options: Options, home: Path, begun: float) -> dict[str, Any] | None:
    """Return the report, or None if it was interrupted."""

    def elapsed() -> float:
        return time.monotonic() - begun

    with open_screen(home / "logs" / "demo.log", elapsed) as screen:
        demo = Demo(options, home, screen, elapsed)
        try:
            with interrupted_by_signals():
                return demo.run()
        except KeyboardInterrupt:
            return None
        finally:
            with hurried_by_signals() as hurry:
                demo.end(hurry.is_set)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let every signal that asks to end raise ``KeyboardInterrupt``."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hurried_by_signals() -> Iterator[threading.Event]:
    """Yield an event that signals set: whoever asks again does not want to wait."""
    hurry = threading.Event()
    before = {number: signal.signal(number, lambda *_: hurry.set()) for number in ENDING}
    try:
        yield hurry
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def alone_in(home: Path) -> Iterator[None]:
    """Hold the home for one demo; the kernel lets go of it when its holder dies.

    Raises:
        EncoreError: another demo runs in it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "demo.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EncoreError(
                f"a demo is running in {home} already. Stop it, or set ENCORE_HOME to another."
            ) from None
        yield
