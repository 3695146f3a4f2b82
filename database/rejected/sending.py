"""Sending records to Kafka: idempotent, acknowledged by all replicas, each with its outcome."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import InvalidRecordError, KafkaError, MessageSizeTooLargeError
from kafka.producer.future import FutureRecordMetadata

from database.rejected.compose import Record
from database.rejected.places import Place
from encore.delivery import abandon, idempotent_producer
from encore.log import get_logger
from encore.topics import MAX_MESSAGE_BYTES, check_kafka, topic_ids

log = get_logger("rejected")

_LINGER_MS: Final = 5
_REACH_MS: Final = 10_000
# kafka-python gives no record up while it asks for a new producer id, which a broker that has gone
# silent never gives it: after this much more time than a record has, it is not waited for.
_GRACE_SECONDS: Final = 2.0
# These are the fault of one record; after any other the next ones would fail as well.
_OF_ONE_RECORD: Final = (MessageSizeTooLargeError, InvalidRecordError)


def check_topics(bootstrap: str, topics: Iterable[tuple[str, str]]) -> None:
    """Look whether topics, each with the id that it had, can be sent to: the name decides.

    Raises:
        EncoreError: one of them is gone.
    """
    known = sorted(topics)
    current = topic_ids(bootstrap, sorted({name for name, _ in known}))
    for name, topic_id in known:
        if current[name] != topic_id:
            log.warning(
                "the topic was made anew since: its records go to the topic of that name",
                topic=name,
                was=topic_id,
                now=current[name],
            )


class Delivered:
    """What became of records: ``to`` is the partition/offset of the acknowledged ones.

    ``untried`` are those that were not sent any more, after a failure that they would share.
    """

    def __init__(self) -> None:
        self.to: dict[Place, str] = {}
        self.failed: dict[Place, str] = {}
        self.untried = 0
        self.may_go_on = True

    def fail(self, place: Place, error: KafkaError) -> None:
        """Count a record that was not acknowledged."""
        self.failed[place] = type(error).__name__
        self.may_go_on = self.may_go_on and isinstance(error, _OF_ONE_RECORD)


class Sender:
    """Sends records, and waits for each until it is acknowledged or given up."""

    def __init__(self, producer: KafkaProducer, delivery_seconds: float) -> None:
        self._producer = producer
        self._patience = delivery_seconds + _GRACE_SECONDS

    def deliver(self, records: Sequence[Record]) -> Delivered:
        """Send records in their order; return when Kafka has answered for every one."""
        delivered = Delivered()
        futures: dict[Place, FutureRecordMetadata] = {}
        for number, record in enumerate(records, start=1):
            try:
                futures[record.place] = self._producer.send(
                    record.topic, value=record.value, key=record.key
                )
            except KafkaError as error:
                delivered.fail(record.place, error)
                if not delivered.may_go_on:
                    delivered.untried = len(records) - number  # each would wait as long
                    break
        self._collect(futures, delivered)
        return delivered

    def _collect(self, futures: Mapping[Place, FutureRecordMetadata], delivered: Delivered) -> None:
        deadline = time.monotonic() + self._patience
        for place, future in futures.items():
            try:
                answer: Any = future.get(timeout=max(0.0, deadline - time.monotonic()))
            except KafkaError as error:
                delivered.fail(place, error)
            else:
                delivered.to[place] = f"{answer.partition}/{answer.offset}"


@contextmanager
def sender(bootstrap: str, delivery_seconds: float) -> Iterator[Sender]:
    """Yield a sender that gives a record up after so many seconds.

    Raises:
        ServiceUnavailableError: the brokers do not answer.
    """
    check_kafka(bootstrap, _REACH_MS)
    producer = idempotent_producer(
        bootstrap,
        client_id="encore-rejected",
        delivery_seconds=delivery_seconds,
        linger_ms=_LINGER_MS,
        max_request_bytes=MAX_MESSAGE_BYTES,
    )
    try:
        yield Sender(producer, delivery_seconds)
    finally:
        abandon(producer)  # every record has its answer by now, or was given up
