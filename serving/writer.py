"""Into Kafka: what the API takes in is acknowledged by all replicas before it says so.

By librdkafka, which sends from a thread of its own: a request costs the process a few microseconds
a record. A producer that failed once is replaced: what it still holds was given up, and a new one
owes nothing to it. A record that is sent again has the same ``event_id``, and counts once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from kafka.errors import KafkaError as KafkaPythonError

from encore.errors import EncoreError
from encore.log import get_logger
from encore.settings import Settings
from encore.topics import check_kafka, ensure_topics
from serving.problems import away

log = get_logger("serving")

CLIENT_ID: Final = "encore-serve"
_MOST_WAITING: Final = 256
_MOST_QUEUED_KB: Final = 65_536
_REACH_MS: Final = 2_000
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """Where Kafka put a record."""

    partition: int
    offset: int


class Writer:
    """A producer shared by all requests of one event loop, connected at the first."""

    def __init__(self, bootstrap: str, settings: Settings) -> None:
        """Take where the brokers are."""
        self._bootstrap = bootstrap
        self._settings = settings
        self._connecting = asyncio.Lock()
        self._sender: _Sender | None = None
        self._waiting = 0

    async def deliver(self, topic: str, records: Sequence[tuple[bytes, bytes | None]]) -> Place:
        """Send records, key and value; return where the last one is, when all are acknowledged.

        One without a value deletes what its key names.

        Raises:
            ProblemError: Kafka is away, does not take one of them in time, or too much waits.
        """
        if self._waiting >= _MOST_WAITING:
            raise away("more is written than Kafka takes at the moment")
        self._waiting += 1
        try:
            sender = self._sender or await self._connected()
            told = await sender.send(topic, records)
        except BufferError:
            raise away("more is written than Kafka takes at the moment") from None
        finally:
            self._waiting -= 1
        if isinstance(told, KafkaError):
            log.warning("Kafka does not take records", because=told.str())
            self._give_up(sender)
            raise away("Kafka does not take the records")
        return Place(told.partition() or 0, told.offset() or 0)  # both are there by now

    def close(self) -> None:
        """End the producer; every request has its answer by now."""
        if self._sender is not None:
            self._sender.close()

    async def _connected(self) -> "_Sender":
        async with self._connecting:
            if self._sender is None:
                self._sender = await asyncio.to_thread(self._connect)
            return self._sender

    def _connect(self) -> "_Sender":
        try:
            check_kafka(self._bootstrap, _REACH_MS)
            ensure_topics(self._bootstrap, self._settings.topics, self._settings)
        except (EncoreError, KafkaPythonError) as error:
            log.warning("Kafka does not answer", because=str(error))
            raise away("Kafka does not answer") from None
        return _Sender(self._bootstrap, self._settings)

    def _give_up(self, sender: "_Sender") -> None:
        if self._sender is sender:
            self._sender = None
            sender.close()


class _Sender:
    """An idempotent producer, and the thread in which it says what became of records."""

    def __init__(self, bootstrap: str, settings: Settings) -> None:
        """Make the producer; it connects by itself."""
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": CLIENT_ID,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 0,  # what comes while a request is on its way goes together anyway
                "socket.nagle.disable": True,  # nor is a small request held back by the system
                # As every other client places keys: a user's events stay in one partition.
                "partitioner": "murmur2_random",
                "message.timeout.ms": round(settings.serve_delivery_seconds * 1000),
                "message.max.bytes": settings.serve_max_request_bytes,
                "queue.buffering.max.kbytes": _MOST_QUEUED_KB,
                "reconnect.backoff.max.ms": 1_000,
                "log_level": 0,  # to stderr, in a form of its own: errors come by the call-back
                "error_cb": _note,
            }
        )
        self._ended = Event()
        self._thread = Thread(target=self._listen, name="kafka", daemon=True)
        self._thread.start()

    async def send(
        self, topic: str, records: Sequence[tuple[bytes, bytes | None]]
    ) -> KafkaError | Message:
        """Return when Kafka has told of every record: the last one if it has them all.

        Raises:
            BufferError: too many wait to be sent. Those before may be sent all the same.
        """
        sending = _Sending(len(records), asyncio.get_running_loop())
        produce = self._producer.produce
        try:
            for key, value in records:
                produce(topic, value, key, on_delivery=sending.told)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            return reason
        return await sending.done

    def close(self) -> None:
        """Let go of everything, acknowledged or not; whoever waits for it is told."""
        self._producer.purge(blocking=False)
        self._ended.set()

    def _listen(self) -> None:
        while not self._ended.is_set() or len(self._producer):
            self._producer.poll(_POLL_SECONDS)


class _Sending:
    """The records of one request on their way."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        """Take how many they are, and where it is waited for them."""
        self.done: asyncio.Future[KafkaError | Message] = loop.create_future()
        self._left = count
        self._loop = loop
        self._error: KafkaError | None = None

    def told(self, error: KafkaError | None, record: Message) -> None:
        """Take note of what became of one. Called in the producer's thread."""
        self._error = self._error or error
        self._left -= 1
        if not self._left:
            self._loop.call_soon_threadsafe(self._end, self._error or record)

    def _end(self, found: KafkaError | Message) -> None:
        if not self.done.done():  # who waited may have gone
            self.done.set_result(found)


def _note(error: KafkaError) -> None:
    log.info("the Kafka client reports", because=error.str())
