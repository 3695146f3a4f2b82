"""Into Kafka: idempotent, acknowledged by all replicas, batched, compressed, every record counted.

kafka-python keeps what it cannot send yet without a bound, so the publisher bounds it: with too
many records unacknowledged it waits for the oldest, and says so when that takes long. Futures are
looked at in the order of sending, which costs far less than a callback for each.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError
from kafka.partitioner.default import murmur2
from kafka.producer.future import FutureRecordMetadata

from encore.delivery import abandon, idempotent_producer
from encore.errors import ServiceUnavailableError
from encore.events import Topics
from encore.log import get_logger
from producer.records import Kind, RecordBlock, topic_names
from producer.tally import Tally

log = get_logger("producer")

DELIVERY_SECONDS: Final = 300.0
# kafka-python gives no record up while it asks for a new producer id, which a broker that fell
# silent never gives it: nothing moves any more, for longer than a record has time.
GRACE_SECONDS: Final = 10.0
MOST_OUTSTANDING: Final = 40_000
BATCH_BYTES: Final = 262_144
LINGER_MS: Final = 20
MAX_REQUEST_BYTES: Final = 8_388_608
_REMIND_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.002


class Sink(Protocol):
    """Where records go. ``tally`` counts what became of them."""

    tally: Tally

    def send(self, block: RecordBlock) -> None:
        """Take the records, in order."""

    def poll(self) -> None:
        """Count what has been acknowledged meanwhile."""

    def close(self, abandoned: Callable[[], bool]) -> None:
        """Wait until everything is acknowledged or failed, unless abandoned."""


def connect(bootstrap: str, delivery_seconds: float = DELIVERY_SECONDS) -> KafkaProducer:
    """Return a producer that never reorders nor repeats within its session.

    Raises:
        ServiceUnavailableError: the brokers do not answer.
    """
    return idempotent_producer(
        bootstrap,
        client_id="encore-producer",
        delivery_seconds=delivery_seconds,
        linger_ms=LINGER_MS,
        max_request_bytes=MAX_REQUEST_BYTES,
        batch_size=BATCH_BYTES,
    )


class KafkaSink:
    """Publishes records and counts what became of each."""

    def __init__(
        self,
        producer: KafkaProducer,
        topics: Topics,
        most_outstanding: int = MOST_OUTSTANDING,
        patience_seconds: float = DELIVERY_SECONDS + GRACE_SECONDS,
    ) -> None:
        """Take an open producer.

        What is unacknowledged is given up once nothing moved for ``patience_seconds``.
        """
        self.tally = Tally()
        self._patience = patience_seconds
        self._stalled = False
        self._producer = producer
        self._names = topic_names(topics)
        self._most = most_outstanding
        self._outstanding: deque[tuple[FutureRecordMetadata, int]] = deque()
        self._partitions: dict[str, dict[bytes, int]] = {name: {} for name in topics.all()}

    def send(self, block: RecordBlock) -> None:
        """Hand the records to the producer, waiting while too many are unacknowledged.

        Raises:
            ServiceUnavailableError: none was acknowledged nor failed for too long.
        """
        self._make_room(len(block))
        names, outstanding = self._names, self._outstanding
        for kind, key, value in zip(block.kinds.tolist(), block.keys, block.values, strict=True):
            topic = names[kind]
            try:
                partition = None if key is None else self._partition(topic, key)
                future = self._producer.send(topic, value=value, key=key, partition=partition)
            except MessageSizeTooLargeError:
                self.tally.failed["larger than a request may be"] += 1
            except KafkaError as error:
                self.tally.failed[type(error).__name__] += 1
            else:
                outstanding.append((future, kind))
        self.tally.sent.update(block.counts())
        self.poll()

    def poll(self) -> None:
        """Count the records that have been acknowledged or have failed."""
        outstanding, counts = self._outstanding, [0] * len(Kind)
        while outstanding and outstanding[0][0].is_done:
            future, kind = outstanding.popleft()
            if future.exception is None:
                counts[kind] += 1
            else:
                self.tally.failed[type(future.exception).__name__] += 1
        for kind in Kind:
            if counts[kind]:
                self.tally.acknowledged[kind] += counts[kind]

    def close(self, abandoned: Callable[[], bool]) -> None:
        """Wait for what is unacknowledged; what is abandoned counts as failed."""
        self._wait_until(lambda: not self._outstanding or abandoned())
        if self._outstanding:
            self.tally.failed["given up before it was acknowledged"] += len(self._outstanding)
            self._outstanding.clear()
            abandon(self._producer)
        else:
            self._producer.close()

    def _partition(self, topic: str, key: bytes) -> int:
        """Return the partition that Kafka's own partitioner gives a key, computed once a key."""
        known = self._partitions[topic].get(key)
        if known is None:
            every = sorted(self._producer.partitions_for(topic))
            known = every[(murmur2(key) & 0x7FFFFFFF) % len(every)]
            self._partitions[topic][key] = known
        return known

    def _make_room(self, count: int) -> None:
        if len(self._outstanding) + count > self._most:
            self._wait_until(lambda: len(self._outstanding) + count <= self._most)
        if self._stalled:
            raise ServiceUnavailableError(
                f"Kafka acknowledged nothing for {self._patience:g} s. Look at the brokers, then "
                "run `encore produce` again: an event that is sent twice counts once."
            )

    def _wait_until(self, satisfied: Callable[[], bool]) -> None:
        told = moved = time.monotonic()
        before = len(self._outstanding)
        while not satisfied() and not self._stalled:
            self.poll()
            now, left = time.monotonic(), len(self._outstanding)
            if left != before:
                told, moved, before = now, now, left
            elif now - told > _REMIND_SECONDS:
                log.warning("waiting for Kafka to acknowledge", unacknowledged=left)
                told = now
            self._stalled = now - moved > self._patience
            time.sleep(_POLL_SECONDS)
