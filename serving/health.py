"""Which part of the system is away, asked at most once a second however many want to know."""

import asyncio
import time
from typing import Final

from kafka.errors import KafkaError

from encore.errors import EncoreError
from encore.log import get_logger
from encore.topics import check_kafka
from serving.cache import Cache
from serving.problems import ProblemError
from serving.reader import Reader

log = get_logger("serving")

_FRESH_SECONDS: Final = 1.0
_KAFKA_MS: Final = 2_000
UP: Final = "up"
AWAY: Final = "away"
NEEDED: Final = ("postgres", "kafka")  # Redis only makes answers quicker


class Health:
    """Asks PostgreSQL and Kafka whether they answer, and knows it of Redis, where there is one."""

    def __init__(self, reader: Reader, kafka: str, cache: Cache | None) -> None:
        """Take where they are; ``kafka`` is empty where none is named."""
        self._reader = reader
        self._kafka = kafka
        self._cache = cache
        self._asking = asyncio.Lock()
        self._found: dict[str, str] = {}
        self._until = 0.0

    async def parts(self) -> dict[str, str]:
        """Return for each part whether it is up."""
        async with self._asking:
            if time.monotonic() >= self._until:
                postgres, kafka = await asyncio.gather(
                    self._postgres(), asyncio.to_thread(self._broker)
                )
                self._found = {"postgres": postgres, "kafka": kafka}
                self._until = time.monotonic() + _FRESH_SECONDS
        if self._cache is None:
            return self._found
        return {**self._found, "redis": UP if self._cache.up else AWAY}

    async def _postgres(self) -> str:
        try:
            await self._reader.row("SELECT FROM published_run")
        except ProblemError as error:
            return AWAY if "tables" not in error.detail else "lacks tables: encore migrate"
        return UP

    def _broker(self) -> str:
        try:
            check_kafka(self._kafka, _KAFKA_MS)
        except (EncoreError, KafkaError) as error:
            log.info("Kafka does not answer", because=str(error))
            return AWAY
        return UP
