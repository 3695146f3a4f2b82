"""An event on its way through PostgreSQL: from the batch that counts it to the list it changes.

Kafka's part, up to the acknowledgement, is the sender's. What follows from there is read from the
tables that anyone can read.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from psycopg2 import extensions

PRODUCED: Final = "produced"
ACKNOWLEDGED: Final = "acknowledged"
COUNTED: Final = "read and committed"
FOLDED_IN: Final = "folded in"
SERVED: Final = "served"
_EVERY_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Hop:
    """How long after it was sent the event had come so far."""

    name: str
    seconds: float
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Where an event did not come on, what was seen of it, and what to do about it."""

    name: str
    seen: str
    advice: str


@dataclass(frozen=True, slots=True)
class Sent:
    """An event that Kafka acknowledged: whose it is, about what, and where it lies."""

    user_id: str
    item_id: str
    topic: str
    partition: int
    offset: int


@dataclass
class Journey:
    """Follows one event; each hop is waited for that long at most.

    ``connection`` commits by itself. ``elapsed`` says how many s ago the event was sent.
    ``list_before`` is when the listener's list was made before that.
    """

    connection: extensions.connection = field(repr=False)
    sent: Sent
    list_before: datetime | None
    hop_seconds: float
    elapsed: Callable[[], float]
    _batch_at: datetime | None = field(default=None, init=False)

    def hops(self) -> Iterator[Hop | Stopped]:
        """Yield each hop when it is reached; what stops the event is the last."""
        for step in (self._counted, self._refused, self._folded_in, self._served):
            reached = step()
            if reached is not None:
                yield reached
            if isinstance(reached, Stopped):
                return

    def _counted(self) -> Hop | Stopped:
        """Wait for the batch that has the offset; its steps say when it was read."""
        sent = self.sent
        rows = self._wait_for(
            "SELECT batch, phases, committed_at FROM ingest_audit WHERE topic = %s "
            "AND (from_offsets->>%s)::bigint <= %s AND (to_offsets->>%s)::bigint > %s",
            sent.topic, str(sent.partition), sent.offset, str(sent.partition), sent.offset,
        )  # fmt: skip
        if not rows:
            return Stopped(
                "committed", f"no batch has it after {self.hop_seconds:g} s",
                "Is `encore stream` running? It may be working off a backlog: "
                "SELECT max(committed_at) FROM ingest_audit.",
            )  # fmt: skip
        batch, phases, self._batch_at = rows[0]
        steps = ", ".join(f"{name} {ms} ms" for name, ms in phases.items())
        return self._reached(COUNTED, f"batch {batch}: {steps}")

    def _refused(self) -> Stopped | None:
        """Find out whether it was refused: a committed record may be one that is kept aside."""
        rows = self._rows(
            'SELECT reason, field FROM rejected_events WHERE topic = %s AND partition = %s '
            'AND "offset" = %s ORDER BY rejected_at DESC LIMIT 1',
            self.sent.topic, self.sent.partition, self.sent.offset,
        )  # fmt: skip
        if not rows:
            return None
        seen = f"the stream rejected it: {rows[0][0]} {rows[0][1] or ''}".strip()
        advice = "Is this Encore newer than the running stream? `encore rejected list` shows it."
        return Stopped("committed", seen, advice)

    def _folded_in(self) -> Hop | Stopped:
        """Wait for a list of the listener that knows the event.

        The batch queues the listener at its own time, and a worker takes the row away in the
        transaction that writes the list.
        """
        rows = self._wait_for(
            "SELECT l.model_run_id, cardinality(l.item_ids) FROM live_recommendations AS l "
            "WHERE l.user_id = %(user)s "
            "AND l.made_at > coalesce(%(before)s, '-infinity'::timestamptz) "
            "AND NOT EXISTS (SELECT FROM live_queue AS q WHERE q.bucket = live_bucket(%(user)s) "
            "AND q.bulk IN (false, true) AND q.user_id = %(user)s AND q.queued_at <= %(batch)s)",
            user=self.sent.user_id, before=self.list_before, batch=self._batch_at,
        )  # fmt: skip
        if not rows:
            return Stopped(
                FOLDED_IN, f"no new list after {self.hop_seconds:g} s",
                "Is `encore live` running? SELECT * FROM live_workers shows which workers "
                "said so lately, SELECT count(*) FROM live_queue how many wait.",
            )  # fmt: skip
        run, items = rows[0]
        return self._reached(
            FOLDED_IN, f"{items} items by run {run}" if items else "no model knows the item"
        )

    def _served(self) -> Hop | Stopped:
        began = time.monotonic()
        rows = self._rows(
            "SELECT item_id, source FROM recommendations_for(%s, 10)", self.sent.user_id
        )
        took_ms = (time.monotonic() - began) * 1000
        sources = ", ".join(sorted({row[1] for row in rows})) or "nothing to recommend"
        if any(row[0] == self.sent.item_id for row in rows):
            seen = f"{self.sent.item_id} is recommended to who just did something with it"
            return Stopped(SERVED, seen, "Report this with the run.")
        return self._reached(SERVED, f"{len(rows)} items ({sources}), read in {took_ms:.0f} ms")

    def _reached(self, name: str, seen: str) -> Hop:
        return Hop(name, self.elapsed(), seen)

    def _wait_for(self, query: str, *values: Any, **named: Any) -> Sequence[tuple[Any, ...]]:
        deadline = time.monotonic() + self.hop_seconds
        while True:
            rows = self._rows(query, *values, **named)
            if rows or time.monotonic() > deadline:
                return rows
            time.sleep(_EVERY_SECONDS)

    def _rows(self, query: str, *values: Any, **named: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(query, named or values)
            return list(cursor.fetchall())


def list_made_at(connection: extensions.connection, user_id: str) -> datetime | None:
    """Return when the newest list of a listener was made, if a worker made one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT made_at FROM live_recommendations WHERE user_id = %s", (user_id,))
        rows: Sequence[tuple[datetime]] = cursor.fetchall()
    return rows[0][0] if rows else None
