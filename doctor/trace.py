"""One marked event, followed from its sender to the list that it changes."""

import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from kafka.errors import KafkaError
from psycopg2 import extensions

from database.engine import connect
from doctor.checks import APPLICATION_NAME
from doctor.finding import Finding
from encore.delivery import idempotent_producer
from encore.events import MAX_RECORD_BYTES, SCHEMA_VERSION, Topics

LISTENER: Final = "encore-doctor"  # the same each time, so that it adds one listener and no more
_EVERY_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Hop:
    """How long after it was sent the event had come so far."""

    name: str
    seconds: float
    seen: str = ""


@dataclass
class Trace:
    """The hops of an event, and what stopped it where something did."""

    event_id: str
    hops: list[Hop] = field(default_factory=list)
    stopped: Finding | None = None


@dataclass
class Tracer:
    """Follows an event through Kafka and PostgreSQL; each hop is waited for that long at most."""

    bootstrap: str
    url: str = field(repr=False)
    topic_prefix: str
    hop_seconds: float
    _connection: extensions.connection = field(init=False, repr=False)
    _began: float = field(default=0.0, init=False)

    def follow(self) -> Trace:
        """Send a like of :data:`LISTENER` and return how far it came, and when."""
        with closing(connect(self.url, application_name=APPLICATION_NAME)) as self._connection:
            self._connection.autocommit = True
            return self._follow()

    def _follow(self) -> Trace:
        trace = Trace(str(uuid4()))
        made_before = self._newest_list()
        item = self._item()
        self._began = time.monotonic()
        try:
            partition, offset = self._send(trace, item)
        except KafkaError as error:
            seen = f"not acknowledged within {self.hop_seconds:g} s: {error}"
            advice = "See the log of the broker, and `encore topics` for partitions without leader."
            trace.stopped = Finding("acknowledged", well=False, seen=seen, advice=advice)
            return trace
        trace.stopped = (
            self._committed(trace, partition, offset)
            or self._folded_in(trace, made_before)
            or self._served(trace, item)
        )
        return trace

    def _send(self, trace: Trace, item: str) -> tuple[int, int]:
        topic = Topics.of(self.topic_prefix).events
        now_ms = round(time.time() * 1000)
        event = {
            "event_id": trace.event_id,
            "schema_version": SCHEMA_VERSION,
            "event_type": "like",
            "event_ts": now_ms,
            "produced_ts": now_ms,
            "user_id": LISTENER,
            "item_id": item,
            "session_id": trace.event_id,
        }
        producer = idempotent_producer(
            self.bootstrap,
            client_id="encore-doctor",
            delivery_seconds=self.hop_seconds,
            linger_ms=0,
            max_request_bytes=MAX_RECORD_BYTES,
        )
        try:
            self._began = time.monotonic()
            sent = producer.send(topic, key=LISTENER.encode(), value=json.dumps(event).encode())
            self._reached(trace, "produced", f"a like of {item} by {LISTENER}")
            record = sent.get(timeout=self.hop_seconds)
            where = f"partition {record.partition}, offset {record.offset} of {topic}"
            self._reached(trace, "acknowledged", where)
        finally:
            producer.close(timeout=1)
        return record.partition, record.offset

    def _committed(self, trace: Trace, partition: int, offset: int) -> Finding | None:
        """Wait for the batch that has the offset; its steps say when it was read."""
        rows = self._wait_for(
            "SELECT batch, phases FROM ingest_audit WHERE topic = %s "
            "AND (from_offsets->>%s)::bigint <= %s AND (to_offsets->>%s)::bigint > %s",
            Topics.of(self.topic_prefix).events, str(partition), offset, str(partition), offset,
        )  # fmt: skip
        if not rows:
            return Finding(
                "committed", well=False, seen=f"no batch has it after {self.hop_seconds:g} s",
                advice="Is `encore stream` running? It may be working off a backlog: "
                "SELECT max(committed_at) FROM ingest_audit.",
            )  # fmt: skip
        batch, phases = rows[0]
        steps = ", ".join(f"{name} {ms} ms" for name, ms in phases.items())
        self._reached(trace, "read and committed", f"batch {batch}: {steps}")
        return self._accepted(partition, offset)

    def _accepted(self, partition: int, offset: int) -> Finding | None:
        """Find out whether it was refused: a committed record may be one that is kept aside."""
        rows = self._rows(
            'SELECT reason, field FROM rejected_events WHERE topic = %s AND partition = %s '
            'AND "offset" = %s ORDER BY rejected_at DESC LIMIT 1',
            Topics.of(self.topic_prefix).events, partition, offset,
        )  # fmt: skip
        if not rows:
            return None
        seen = f"the stream rejected it: {rows[0][0]} {rows[0][1] or ''}".strip()
        advice = "Is this Encore newer than the running stream? `encore rejected list` shows it."
        return Finding("committed", well=False, seen=seen, advice=advice)

    def _folded_in(self, trace: Trace, before: datetime | None) -> Finding | None:
        """Wait for a list of the listener that is newer than the one before the event."""
        rows = self._wait_for(
            "SELECT model_run_id, cardinality(item_ids) FROM live_recommendations "
            "WHERE user_id = %s AND made_at > coalesce(%s, '-infinity'::timestamptz)",
            LISTENER, before,
        )  # fmt: skip
        if not rows:
            return Finding(
                "folded in", well=False, seen=f"no new list after {self.hop_seconds:g} s",
                advice="Is `encore live` running? SELECT * FROM live_workers shows which workers "
                "said so lately, SELECT count(*) FROM live_queue how many wait.",
            )  # fmt: skip
        run, items = rows[0]
        seen = f"{items} items by run {run}" if items else "no model knows the item"
        self._reached(trace, "folded in", seen)
        return None

    def _served(self, trace: Trace, item: str) -> Finding | None:
        began = time.monotonic()
        rows = self._rows("SELECT item_id, source FROM recommendations_for(%s, 10)", LISTENER)
        took_ms = (time.monotonic() - began) * 1000
        sources = ", ".join(sorted({row[1] for row in rows})) or "nothing to recommend"
        if any(row[0] == item for row in rows):
            seen = f"{item} is recommended to who just liked it"
            return Finding("served", well=False, seen=seen, advice="Report this with the run.")
        seen = f"{len(rows)} items ({sources}), read in {took_ms:.0f} ms"
        self._reached(trace, "served", seen)
        return None

    def _item(self) -> str:
        """Return what is recommended to the listener first, else any item, else a name."""
        rows = self._rows("SELECT item_id FROM recommendations_for(%s, 1)", LISTENER)
        rows = rows or self._rows("SELECT item_id FROM items ORDER BY item_id LIMIT 1")
        return str(rows[0][0]) if rows else LISTENER

    def _newest_list(self) -> datetime | None:
        rows = self._rows("SELECT made_at FROM live_recommendations WHERE user_id = %s", LISTENER)
        return rows[0][0] if rows else None

    def _reached(self, trace: Trace, name: str, seen: str) -> None:
        trace.hops.append(Hop(name, time.monotonic() - self._began, seen))

    def _wait_for(self, query: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        deadline = time.monotonic() + self.hop_seconds
        while True:
            rows = self._rows(query, *values)
            if rows or time.monotonic() > deadline:
                return rows
            time.sleep(_EVERY_SECONDS)

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())
