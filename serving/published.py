"""What readers see, known without asking PostgreSQL at every request: a run, or variants."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from encore.log import get_logger
from serving.experiments import RUNNING, Variant, assigned, of_rows
from serving.problems import ProblemError
from serving.reader import Reader

log = get_logger("serving")

_SECONDS: Final = 1.0
# A run that readers are taken back to is not what it was before: when it was published tells.
_RUN: Final = """
SELECT m.model_run_id, m.published_at FROM published_run JOIN model_runs AS m USING (model_run_id)
"""


class Published:
    """The published run and the running experiment, looked at once a second.

    While PostgreSQL is away, what was known counts on. ``run`` names both: what is kept of one
    state of them is never shown in another.
    """

    def __init__(self, reader: Reader) -> None:
        """Take where it stands."""
        self._reader = reader
        self._task: asyncio.Task[None] | None = None
        self._variants: Sequence[Variant] = ()
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

    async def variant(self, user_id: str) -> Variant | None:
        """Return what the running experiment shows to a user, if one runs.

        Raises:
            ProblemError: nothing is known yet, and PostgreSQL is away.
        """
        if self.run is None:
            await self._look()
        return assigned(self._variants, user_id)

    async def _look_on(self) -> None:
        while True:
            try:
                await self._look()
            except ProblemError:
                pass  # the reader has said so
            except Exception:
                log.exception("the published run could not be looked up")
            await asyncio.sleep(_SECONDS)

    async def _look(self) -> None:
        row = await self._reader.row(_RUN)
        found = of_rows(await self._reader.rows(RUNNING))
        self._variants = found[0].variants if found else ()
        run = f"{row['model_run_id']}@{row['published_at'].timestamp()}" if row else "none"
        self.run = f"{run}+{found[0].name}" if found else run
