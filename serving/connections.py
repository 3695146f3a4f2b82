"""Connections to PostgreSQL that are kept open between statements.

asyncpg's own pool wraps a connection anew for each statement and gives it back in a task of its
own, which takes as long as the statement on the client's side: a tenth of what a page takes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg
from asyncpg import exceptions

_IDLE_SECONDS: Final = 300.0  # a connection idle for longer may have been dropped on its way
# What leaves a connection in a state that nobody knows.
_BREAKS: Final = (OSError, exceptions.InterfaceError, exceptions.InternalClientError)

_Answer = TypeVar("_Answer")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Connections:
    """At most so many connections, opened when they are needed; the last one used is used next."""

    def __init__(self, url: str, most: int, timeout_seconds: float, **options: Any) -> None:
        """Take what :func:`asyncpg.connect` takes; the timeout bounds the wait for one's turn."""
        self._url = url
        self._timeout = timeout_seconds
        self._options = options
        self._turns = asyncio.Semaphore(most)
        self._idle: deque[tuple[float, Connection]] = deque()
        self._closed = False

    async def run(self, ask: Callable[[Connection], Awaitable[_Answer]]) -> _Answer:
        """Return what is asked of a connection that nobody else has meanwhile.

        Raises:
            TimeoutError: none became free in time.
        """
        connection = await self._take()
        try:
            return await ask(connection)
        except TimeoutError:
            raise  # an OSError, too: PostgreSQL is asked to give the statement up, and then answers
        except _BREAKS:
            connection.terminate()
            raise
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close those that are idle, and the others as soon as they are."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].terminate()

    async def _take(self) -> Connection:
        if self._turns.locked():
            async with asyncio.timeout(self._timeout):
                await self._turns.acquire()
        else:
            await self._turns.acquire()
        try:
            while self._idle:
                since, connection = self._idle.pop()
                if connection.is_closed():
                    continue
                if time.monotonic() - since < _IDLE_SECONDS:
                    return connection
                connection.terminate()
            return await asyncpg.connect(self._url, **self._options)
        except BaseException:
            self._turns.release()
            raise

    def _give_back(self, connection: Connection) -> None:
        now = time.monotonic()
        if self._closed:
            connection.terminate()
        elif not connection.is_closed():
            self._idle.append((now, connection))
        while self._idle and now - self._idle[0][0] > _IDLE_SECONDS:
            self._idle.popleft()[1].terminate()
        self._turns.release()
