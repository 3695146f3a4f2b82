"""Ready answers in Redis, looked up in one round trip; without Redis, no answer but PostgreSQL's.

A circuit keeps requests from waiting for a Redis that is away: the first one that it fails opens
it, and until a probe in the background was answered nobody asks. What is kept under which key, and
how it is forgotten, is :mod:`encore.cache`.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from encore.cache import TIMEOUT_SECONDS, user_key
from encore.log import get_logger
from serving.measures import Measures

log = get_logger("serving")

LARGEST: Final = 262_144  # bytes of an answer: larger ones are rare, and not worth their room
MOST_FIELDS: Final = 32  # answers kept of one listener or item, over all that may be asked
_PROBE_SECONDS: Final = 0.5
# A lease lives as long as what is kept under it, so that this counts from before it was read.
_LEASE: Final = """
if redis.call('HSETNX', KEYS[1], 'lease', ARGV[1]) == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return ARGV[1]
end
return redis.call('HGET', KEYS[1], 'lease')
"""
_KEEP: Final = """
if redis.call('HGET', KEYS[1], 'lease') ~= ARGV[1] then return 0 end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
"""

Value = TypeVar("Value")
_Wanted = tuple[str, str, "asyncio.Future[bytes | None]"]


class Cache:
    """Answers of one API process in a Redis that several share."""

    def __init__(self, url: str, space: str, seconds: float, measures: Measures) -> None:
        """Take where Redis is, what keys begin with, and the oldest age of an answer."""
        self.space = space
        self.up = True
        self._milliseconds = max(1, round(seconds * 1000))
        self._measures = measures
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._lease = self._client.register_script(_LEASE)
        self._keep = self._client.register_script(_KEEP)
        self._wanted: list[_Wanted] = []
        self._reading: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        measures.cache_up(up=True)

    async def look(self, key: str, field: str) -> bytes | None:
        """Return what is kept, or None where nothing is or Redis does not answer."""
        wanted = asyncio.get_running_loop().create_future()
        self._wanted.append((key, field, wanted))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        found: bytes | None = await wanted
        return found

    async def lease(self, key: str) -> bytes | None:
        """Return the lease under which an answer that is read from now on may be kept."""
        if not self.up:
            return None
        word = secrets.token_bytes(12)
        return await self._try(self._lease([key], [word, self._milliseconds]))

    async def keep(self, key: str, field: str, lease: bytes, body: bytes) -> None:
        """Keep an answer, unless it was forgotten or grew too old since the lease was taken."""
        if len(body) <= LARGEST and self.up:
            await self._try(self._keep([key], [lease, field, body, MOST_FIELDS]))

    async def forget(self, user_ids: Sequence[str]) -> bool:
        """Forget all that is kept of listeners; return whether Redis did."""
        keys = [user_key(self.space, one) for one in user_ids]
        return await self._try(self._client.unlink(*keys)) is not None

    async def close(self) -> None:
        """End what works in the background, and close the connections."""
        for task in (self._probing, self._reading):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self._client.aclose()

    async def _read(self) -> None:
        """Look up all that was asked for while the ones before were looked up, in one go."""
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, []
                found = await self._try(self._values(wanted)) or [None] * len(wanted)
                for (_, _, future), value in zip(wanted, found, strict=True):
                    if not future.done():
                        future.set_result(value)
        finally:
            self._reading = None

    async def _values(self, wanted: Sequence[_Wanted]) -> list[bytes | None]:
        pipeline = self._client.pipeline(transaction=False)
        for key, field, _ in wanted:
            pipeline.hget(key, field)
        values: list[bytes | None] = await pipeline.execute()
        return values

    async def _try(self, asked: Awaitable[Value]) -> Value | None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await asked
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._lose(error)
            return None

    def _lose(self, error: Exception) -> None:
        if self._probing is None or self._probing.done():
            log.warning(
                "Redis does not answer: PostgreSQL does", because=f"{type(error).__name__}: {error}"
            )
            self.up = False
            self._measures.cache_up(up=False)
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """Ask until Redis takes something again, and not only answers."""
        while not self.up:
            await asyncio.sleep(_PROBE_SECONDS)
            with suppress(RedisError, OSError):
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._client.set(f"{self.space}:probe", b"", px=1000)
                self.up = True
        log.info("Redis answers again")
        self._measures.cache_up(up=True)
