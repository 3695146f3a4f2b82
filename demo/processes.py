"""The demo's processes: started with a mark, ended with everything they started themselves.

Each is a group of its own, so that Ctrl-C reaches the demo alone, which then ends them in order.
Spark's Python workers leave their group: the mark in their environment finds them all the same,
also those of a demo that was killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from encore.stack.process import tail

MARK: Final = "ENCORE_DEMO"
LAST_LINES: Final = 5
_POLL_SECONDS: Final = 0.1


class Child:
    """One ``encore`` command as a process, its output in a log."""

    def __init__(self, name: str, arguments: Sequence[str], home: Path) -> None:
        self.name = name
        self.log_file = home / "logs" / f"demo-{name}.log"
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "encore", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, MARK: str(home), "ENCORE_HOME": str(home)},
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._popen.poll()

    def ask(self) -> None:
        """Ask it, and what it started, to end."""
        if self.exit_code() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, and what it started, without a chance to clean up; wait until all are gone."""
        try:
            first = psutil.Process(self._popen.pid)
            family = [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._popen.wait()
        psutil.wait_procs(family, timeout=30)

    def last_lines(self) -> str:
        """Return the end of its log, for an error message."""
        return tail(self.log_file, LAST_LINES)


def end(children: Sequence[Child], seconds: float, hurried: Callable[[], bool]) -> None:
    """Ask processes to end and wait for them so long, or until hurried."""
    for child in children:
        child.ask()
    deadline = time.monotonic() + seconds
    while any(child.exit_code() is None for child in children):
        if time.monotonic() > deadline or hurried():
            return
        time.sleep(_POLL_SECONDS)


def kill_marked(home: Path) -> int:
    """Kill whatever still runs with the mark of this home; return how many processes it were."""
    total = 0
    for _ in range(5):  # one of them may just be starting another
        found = marked(home)
        if not found:
            break
        total += len(found)
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=10)
    return total


def marked(home: Path) -> list[psutil.Process]:
    """Return the live processes with the mark of this home."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == str(home):
                found.append(process)
    return found
