"""Ready answers of the API in Redis: under which keys they lie, and how they are forgotten.

All that is kept of a listener is one hash, so that one command forgets it: a field for each answer,
and ``lease``, the word of honour of whoever looked in vain. An answer is put there only while the
lease that was taken before PostgreSQL was read is still there. Forgetting deletes it with the rest,
so nothing that was read before a change comes back after it.
"""

import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from encore.log import get_logger

log = get_logger("cache")

TIMEOUT_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 1.0
_MOST_OWED: Final = 100_000
_AT_ONCE: Final = 1_000


def namespace(database_url: str) -> str:
    """Return what keys begin with: one Redis may serve several databases."""
    return f"encore:{unquote(urlsplit(database_url).path.lstrip('/'))}"


def user_key(space: str, user_id: str) -> str:
    """Return the key of all that is kept of a listener."""
    return f"{space}:user:{user_id}"


def item_key(space: str, item_id: str) -> str:
    """Return the key of all that is kept of an item."""
    return f"{space}:item:{item_id}"


class Forgetter:
    """Makes what is kept of listeners forgotten; to be told once a change is committed.

    While Redis is away it remembers whom it owes that, and makes up for it when it is called again.
    """

    def __init__(self, url: str, space: str) -> None:
        """Take where Redis is; with an empty ``url`` there is none, and nothing to do."""
        self._space = space
        self._owed: set[str] = set()
        self._again_at = 0.0
        self._client = (
            redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
            if url
            else None
        )

    def forget(self, user_ids: Iterable[str] = ()) -> bool:
        """Forget listeners, those still owed as well; return whether none is owed any more."""
        if self._client is None:
            return True
        self._owed.update(user_ids)
        if not self._owed or time.monotonic() < self._again_at:
            return not self._owed
        try:
            self._unlink(self._client)
        except (redis.RedisError, OSError) as error:
            self._put_off(error)
            return False
        self._owed.clear()
        return True

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def _unlink(self, client: redis.Redis) -> None:
        keys = [user_key(self._space, one) for one in self._owed]
        with client.pipeline(transaction=False) as pipeline:
            for start in range(0, len(keys), _AT_ONCE):
                pipeline.unlink(*keys[start : start + _AT_ONCE])
            pipeline.execute()

    def _put_off(self, error: Exception) -> None:
        self._again_at = time.monotonic() + _PAUSE_SECONDS
        log.warning(
            "Redis does not answer: kept answers grow old instead of being forgotten",
            because=f"{type(error).__name__}: {error}",
            users=len(self._owed),
        )
        if len(self._owed) > _MOST_OWED:
            self._owed.clear()  # by the time they were all forgotten, they have grown too old
