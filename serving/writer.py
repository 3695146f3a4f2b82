"""Into Kafka: what the API takes in is acknowledged by all replicas before it says so.

A producer that failed once is replaced: what it still holds was given up, and a new one owes
nothing to it. A record that is sent again has the same ``event_id``, and counts once.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Final, TypeVar

from kafka import KafkaProducer
from kafka.errors import KafkaError

from encore.delivery import idempotent_producer
from encore.errors import EncoreError
from encore.log import get_logger
from encore.settings import Settings
from encore.topics import check_kafka, ensure_topics
from serving.problems import away

log = get_logger("serving")

CLIENT_ID: Final = "encore-serve"
_THREADS: Final = 16
_MOST_WAITING: Final = 256
_LINGER_MS: Final = 2
_REACH_MS: Final = 2_000

Value = TypeVar("Value")


class Writer:
    """A producer shared by all requests, connected at the first."""

    def __init__(self, bootstrap: str, settings: Settings) -> None:
        """Take where the brokers are."""
        self._bootstrap = bootstrap
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kafka")
        self._connecting = Lock()
        self._producer: KafkaProducer | None = None
        self._waiting = 0

    async def run(self, work: Callable[[], Value]) -> Value:
        """Do work that may wait for Kafka beside the event loop.

        Raises:
            ProblemError: too much waits already.
        """
        if self._waiting >= _MOST_WAITING:
            raise away("more is written than Kafka takes at the moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def deliver(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Send records, key and value, and return when every one is acknowledged.

        Raises:
            ProblemError: Kafka is away, or does not take one of them in time.
        """
        producer = self._connected()
        try:
            sent = [producer.send(topic, key=key, value=value) for key, value in records]
            for one in sent:
                one.get()  # ends by delivery_timeout_ms
        except KafkaError as error:
            log.warning("Kafka does not take records", because=f"{type(error).__name__}: {error}")
            self._give_up(producer)
            raise away("Kafka does not take the records") from None

    def close(self) -> None:
        """End the threads and the producer; every request has its answer by now."""
        self._threads.shutdown()
        if self._producer is not None:
            self._producer.close(timeout=0)

    def _connected(self) -> KafkaProducer:
        with self._connecting:
            if self._producer is None:
                self._producer = self._connect()
            return self._producer

    def _connect(self) -> KafkaProducer:
        try:
            check_kafka(self._bootstrap, _REACH_MS)
            ensure_topics(self._bootstrap, self._settings.topics, self._settings)
            return idempotent_producer(
                self._bootstrap,
                client_id=CLIENT_ID,
                delivery_seconds=self._settings.serve_delivery_seconds,
                linger_ms=_LINGER_MS,
                max_request_bytes=self._settings.serve_max_request_bytes,
            )
        except (EncoreError, KafkaError) as error:
            log.warning("Kafka does not answer", because=str(error))
            raise away("Kafka does not answer") from None

    def _give_up(self, producer: KafkaProducer) -> None:
        with self._connecting:
            if self._producer is producer:
                self._producer = None
        with suppress(KafkaError):
            producer.close(timeout=0)
