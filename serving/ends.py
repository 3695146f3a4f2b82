"""Where Kafka's log of events ends: read beside the event loop, over a connection that is kept."""

import asyncio
from contextlib import ExitStack
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from encore.errors import EncoreError
from encore.log import get_logger
from encore.topics import admin_client, ends_by

log = get_logger("serving")

_PATIENCE_SECONDS: Final = 0.5
_REACH_MS: Final = 2_000

Ends = dict[int, int]


class LogEnds:
    """Asks a broker for the ends of one topic, one question at a time."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Take where the brokers are; nothing is asked yet."""
        self._bootstrap = bootstrap
        self._topic = topic
        self._open = ExitStack()
        self._admin: KafkaAdminClient | None = None
        self._asking: asyncio.Task[Ends | None] | None = None

    async def read(self) -> Ends | None:
        """Return the end of each partition, or None where Kafka does not say so at once."""
        if self._asking is None:
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        done, _ = await asyncio.wait({self._asking}, timeout=_PATIENCE_SECONDS)
        if not done:
            return None  # who asks next waits for the same answer
        asked, self._asking = self._asking, None
        return asked.result()

    async def close(self) -> None:
        """Close the connection."""
        if self._asking is not None:
            await asyncio.wait({self._asking})
        await asyncio.to_thread(self._give_up)

    def _ask(self) -> Ends | None:
        try:
            if self._admin is None:
                self._admin = self._open.enter_context(admin_client(self._bootstrap, _REACH_MS))
            found = ends_by(self._admin, [self._topic])
        except (EncoreError, KafkaError, OSError) as error:
            log.info("Kafka does not say where its log ends", because=str(error))
            self._give_up()
            return None
        return {partition: end for (_, partition), end in found.items()}

    def _give_up(self) -> None:
        self._admin = None
        self._open.close()
