"""What the local stack remembers: one JSON file for each server, written atomically."""

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from encore.errors import EncoreError
from encore.log import get_logger

log = get_logger("stack")

LOCK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class ServerState:
    """Where a server of ours runs, or last ran.

    ``created`` is the process's start in seconds since the epoch: together with ``pid`` it tells
    our process from a later one that was given the same number.
    """

    service: str
    pid: int
    created: float
    port: int
    data: str


def read_state(path: Path) -> ServerState | None:
    """Return the recorded state, or None where there is none that can be read."""
    try:
        return ServerState(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_state(path: Path, state: ServerState) -> None:
    """Record the state of a server."""
    write_atomically(path, json.dumps(asdict(state), indent=2) + "\n", mode=0o644)


def write_atomically(path: Path, text: str, *, mode: int) -> None:
    """Write a file that readers see whole or not at all, and never with a wider mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def exclusive(path: Path, *, what: str, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a lock file; the kernel frees it when its holder dies.

    Raises:
        EncoreError: another process still holds it after ``seconds``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        _acquire(file, what, seconds)
        yield


def _acquire(file: TextIO, what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    announced = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EncoreError(
                    f"another process has been busy with {what} for {seconds:.0f} s. "
                    f"End it, or wait for it (lock file {file.name})."
                ) from None
            if not announced:
                log.info("waiting for another process to finish", what=what)
                announced = True
            time.sleep(0.1)
        else:
            return
