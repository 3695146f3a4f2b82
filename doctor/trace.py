"""One marked event, followed from its sender to the list that it changes."""

import json
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from kafka.errors import KafkaError
from psycopg2 import extensions

from database.engine import connect
from database.journey import ACKNOWLEDGED, PRODUCED, Hop, Journey, Sent, Stopped, list_made_at
from doctor.api import Api
from doctor.checks import APPLICATION_NAME
from doctor.finding import Finding
from encore.delivery import idempotent_producer
from encore.events import MAX_RECORD_BYTES
from encore.happening import happening

LISTENER: Final = "encore-doctor"  # the same each time, so that it adds one listener and no more
_NO_ANSWER: Final = "See the log of the broker, and `encore topics` for partitions without leader."


@dataclass
class Trace:
    """The hops of an event, and what stopped it where something did."""

    event_id: str
    hops: list[Hop] = field(default_factory=list)
    stopped: Finding | None = None

    def add(self, step: Hop | Stopped) -> None:
        """Take note of how far it came."""
        if isinstance(step, Hop):
            self.hops.append(step)
        else:
            self.stopped = Finding(step.name, well=False, seen=step.seen, advice=step.advice)


@dataclass
class Tracer:
    """Follows an event through Kafka, PostgreSQL and the API, if there is one.

    Each hop is waited for ``hop_seconds`` at most.
    """

    bootstrap: str
    url: str = field(repr=False)
    topic: str
    hop_seconds: float
    api: Api | None = None
    _began: float = field(default=0.0, init=False)

    def follow(self) -> Trace:
        """Send a like of :data:`LISTENER` and return how far it came, and when."""
        trace = Trace(str(uuid4()))
        with closing(connect(self.url, application_name=APPLICATION_NAME)) as connection:
            connection.autocommit = True
            list_before = list_made_at(connection, LISTENER)
            try:
                sent = self._send(trace, _item(connection))
            except KafkaError as error:
                seen = f"not acknowledged within {self.hop_seconds:g} s: {error}"
                trace.stopped = Finding(ACKNOWLEDGED, well=False, seen=seen, advice=_NO_ANSWER)
                return trace
            journey = Journey(connection, sent, list_before, self.hop_seconds, self._elapsed)
            for step in journey.hops():
                trace.add(step)
        if self.api is not None and trace.stopped is None:
            answered = self.api.followed(LISTENER, list_before, self.hop_seconds, self._elapsed)
            if answered is not None:
                trace.add(answered)
        return trace

    def _send(self, trace: Trace, item: str) -> Sent:
        event = happening("like", LISTENER, item, trace.event_id)
        event["session_id"] = trace.event_id
        producer = idempotent_producer(
            self.bootstrap,
            client_id="encore-doctor",
            delivery_seconds=self.hop_seconds,
            linger_ms=0,
            max_request_bytes=MAX_RECORD_BYTES,
        )
        try:
            self._began = time.monotonic()
            sent = producer.send(
                self.topic, key=LISTENER.encode(), value=json.dumps(event).encode()
            )
            trace.add(Hop(PRODUCED, self._elapsed(), f"a like of {item} by {LISTENER}"))
            record = sent.get(timeout=self.hop_seconds)
            where = f"partition {record.partition}, offset {record.offset} of {self.topic}"
            trace.add(Hop(ACKNOWLEDGED, self._elapsed(), where))
        finally:
            producer.close(timeout=1)
        return Sent(LISTENER, item, self.topic, record.partition, record.offset)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


def _item(connection: extensions.connection) -> str:
    """Return what is recommended to the listener first, else any item, else a name."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce((SELECT item_id FROM recommendations_for(%s, 1)), "
            "(SELECT item_id FROM items ORDER BY item_id LIMIT 1), %s)",
            (LISTENER, LISTENER),
        )
        ((item,),) = cursor.fetchall()
    return str(item)
