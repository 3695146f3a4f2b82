"""One look a second at the database for all who watch, however many they are."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

from serving.problems import ProblemError

_EVERY_SECONDS: Final = 1.0

Seen = TypeVar("Seen")


class Broadcast(Generic[Seen]):
    """Looks while anyone listens, and hands what it saw to all of them.

    Who is slow misses what is no longer so, and holds up nobody.
    """

    def __init__(self, look: Callable[[], Awaitable[Seen]]) -> None:
        """Take how to look."""
        self._look = look
        self._changed = asyncio.Condition()
        self._number = 0
        self._seen: Seen | ProblemError | None = None
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    async def listen(self) -> AsyncGenerator[Seen | ProblemError, None]:
        """Yield what is seen, or why nothing can be seen, until :meth:`end` or the caller ends."""
        self._listeners += 1
        heard = self._number
        if self._task is None:
            self._task = asyncio.create_task(self._look_on())
        else:
            heard -= 1  # the newest will do
        try:
            while True:
                async with self._changed:
                    while self._number <= heard and not self._ended:
                        await self._changed.wait()
                    if self._ended:
                        return
                    heard, seen = self._number, self._seen
                if seen is not None:
                    yield seen
        finally:
            self._listeners -= 1

    async def end(self) -> None:
        """Let everybody go."""
        self._ended = True
        async with self._changed:
            self._changed.notify_all()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look_on(self) -> None:
        loop = asyncio.get_running_loop()
        while self._listeners and not self._ended:
            due = loop.time() + _EVERY_SECONDS
            try:
                self._seen = await self._look()
            except ProblemError as error:
                self._seen = error
            async with self._changed:
                self._number += 1
                self._changed.notify_all()
            await asyncio.sleep(max(due - loop.time(), 0))
        self._task = None
