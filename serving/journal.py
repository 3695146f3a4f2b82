"""The log of writes: who called what, and what became of it, in the table ``api_writes``.

Rows go into the database a second later, several at once, so that no write waits for them. While
PostgreSQL is away they are kept, up to a number; what a killed process had not written is lost.
"""

import asyncio
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from encore.log import get_logger
from serving.problems import ProblemError
from serving.reader import Reader

log = get_logger("serving")

_MOST_KEPT: Final = 100_000
_SECONDS: Final = 1.0
_COLUMNS: Final = ("called_at", "key_id", "method", "path", "status", "records")


class Journal:
    """Rows on their way into the database."""

    def __init__(self, reader: Reader) -> None:
        """Take where they go."""
        self._reader = reader
        self._rows: deque[tuple[datetime, str, str, str, int, int]] = deque()
        self._task: asyncio.Task[None] | None = None

    def note(self, key_id: str, method: str, path: str, status: int, records: int) -> None:
        """Take note of a call that was answered."""
        if len(self._rows) >= _MOST_KEPT:
            self._rows.popleft()
            log.error("PostgreSQL was away for too long: a write is not in the log of writes")
        # PostgreSQL keeps no NUL in a text.
        path = path.replace("\x00", "%00")
        self._rows.append((datetime.now(UTC), key_id, method, path, status, records))

    async def open(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_on())

    async def close(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._write()

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            await self._write()

    async def _write(self) -> None:
        rows = list(self._rows)
        if not rows:
            return
        try:
            await self._reader.copy_rows("api_writes", _COLUMNS, rows)
        except ProblemError:
            return  # they are kept
        for _ in rows:
            self._rows.popleft()
