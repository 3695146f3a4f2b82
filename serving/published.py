"""Which run readers see, known without asking PostgreSQL at every request."""

import asyncio
from contextlib import suppress
from typing import Final

import asyncpg

from serving.problems import ProblemError
from serving.reader import Reader

_SECONDS: Final = 1.0
# A run that readers are taken back to is not what it was before: when it was published tells.
_RUN: Final = """
SELECT m.model_run_id, m.published_at FROM published_run JOIN model_runs AS m USING (model_run_id)
"""


class Published:
    """The published run, looked at once a second; while PostgreSQL is away, the last one known."""

    def __init__(self, reader: Reader) -> None:
        """Take where it stands."""
        self._reader = reader
        self._task: asyncio.Task[None] | None = None
        self.run: str | None = None

    async def open(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look_on())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look_on(self) -> None:
        while True:
            with suppress(ProblemError):
                row = await self._reader.row(_RUN)
                self.run = _name(row) if row else "none"
            await asyncio.sleep(_SECONDS)


def _name(row: asyncpg.Record) -> str:
    return f"{row['model_run_id']}@{row['published_at'].timestamp()}"
