"""Faults on demand, so that tests can kill the job exactly where it would hurt.

``STREAM_FAULT=before-commit:3`` kills the driver (``kill -9``) when it passes that point for the
third time. Points of the driver: before-staging, before-commit, after-commit. Point of a task:
in-copy, which kills the Python worker of the first task that comes to it.
"""

import os
import re
import signal
from pathlib import Path

from encore.errors import SettingsError

DRIVER_POINTS = ("before-staging", "before-commit", "after-commit")
TASK_POINTS = ("in-copy",)


class Fault:
    """A kill at a point of the driver, the n-th time that it is passed; none by default."""

    def __init__(self, setting: str) -> None:
        """Read ``point[:n]``.

        Raises:
            SettingsError: there is no such point.
        """
        point, _, count = setting.partition(":")
        known = (*DRIVER_POINTS, *TASK_POINTS)
        if setting and (point not in known or not re.fullmatch("[1-9][0-9]*", count or "1")):
            raise SettingsError(
                f"STREAM_FAULT={setting!r} is not allowed: a point of {', '.join(known)}, "
                "with :n for the n-th time."
            )
        self._point = point
        self._left = int(count or 1)

    def __call__(self, point: str) -> None:
        """Pass a point, and die if it is the one."""
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            _die()

    def in_tasks(self, folder: Path) -> Path | None:
        """Return the file that a task removes before it dies, if tasks are to die."""
        if self._point not in TASK_POINTS:
            return None
        marker = folder / "task-fault"
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        return marker


def die_once(marker: Path | None) -> None:
    """Kill this process, unless another one did already."""
    if marker is None:
        return
    try:
        marker.unlink()
    except FileNotFoundError:
        return
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
