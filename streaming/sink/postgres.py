"""The sink: one micro-batch, one transaction, however often it is tried."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg2
from psycopg2 import extensions

from database.engine import TRANSIENT, connect
from encore.errors import EncoreError
from encore.log import get_logger
from streaming.sink.merge import Target
from streaming.sink.progress import (
    Advance,
    Audit,
    Tally,
    advances,
    begin_counting,
    close_other_topics,
    other_topic_ids,
    read_progress,
    record_advances,
    record_audit,
)
from streaming.sink.staging import Staging, StagingArea, drop_leftovers

log = get_logger("streaming")

_STATE_EVERY_SECONDS = 10
_CLAIM_SECONDS = 5


@dataclass(frozen=True)
class StagedBatch:
    """What the tasks of a batch copied, of the records from ``begins`` to before ``ends``.

    ``side`` is where it lies, ``attempts`` are those that count, ``tallies`` has one for each
    partition that had records, ``took_ms`` is how long it took.
    """

    side: int
    begins: Mapping[int, int]
    ends: Mapping[int, int]
    attempts: Sequence[int]
    tallies: Sequence[Tally]
    took_ms: int = 0

    @property
    def upto(self) -> Mapping[int, int]:
        """Return the first offset of each partition that is not counted once this is."""
        steps = advances(self.begins, self.ends, ())
        return {**self.begins, **{step.partition: step.end for step in steps}}


@dataclass(frozen=True)
class Written:
    """A committed batch: its steps, what was found, and what each phase took, in ms.

    ``state`` is how many event ids are kept to tell repeats and their size in bytes, where it
    was looked up.
    """

    steps: Sequence[Advance]
    tallies: Sequence[Tally]
    phases_ms: Mapping[str, int]
    state: tuple[int, int] | None = None


Hook = Callable[[str], None]


@dataclass
class _Stopwatch:
    phases_ms: dict[str, int]
    _since: float = field(default_factory=time.monotonic)

    def lap(self, phase: str) -> None:
        now = time.monotonic()
        self.phases_ms[phase] = round((now - self._since) * 1000)
        self._since = now


class PostgresSink:
    """Writes the micro-batches of one topic into PostgreSQL, each exactly once.

    The order of a write:

    1. The tasks copy their deltas of the records, from the offsets that are recorded or will be,
       into the staging tables of this run, each in a transaction of its own, tagged with its
       attempt. There are two *sides*, two sets of these tables, so that a batch can be staged
       while the one before it is merged.
    2. Begin the transaction. Lock the topic's rows of ``stream_offsets``; if they are not those
       that the batch was staged behind, another job counted meanwhile: roll back and end.
    3. Merge the staged rows of the attempts that Spark reported into the tables.
    4. Add the counts to ``stream_offsets`` and move its offsets to the end of the batch; write
       the row of ``ingest_audit``; run the statement that is to be the last, if any.
    5. Commit. The side is emptied before it is used again.

    A crash before 5 leaves nothing but staged rows, which the next start drops. A crash after it
    leaves the batch counted, and the next start begins behind it.

    One thread at a time may call it.
    """

    def __init__(
        self,
        url: str,
        topic: str,
        topic_id: str,
        targets: Sequence[Target],
        *,
        lock_timeout_ms: int,
        hook: Hook,
        last: str | None = None,
    ) -> None:
        """Take the database, the topic, the tables, and what is called at each step (for tests).

        ``last`` is a statement at the end of every merge, given the topic's name and id.

        A statement that waits longer than ``lock_timeout_ms`` for a lock gives up, and the batch
        is tried again: somebody's LOCK TABLE or VACUUM FULL must not hang the stream unseen.
        """
        self._url = url
        self._topic = topic
        self._topic_id = topic_id
        self._run_id: UUID = uuid4()
        run = self._run_id.hex[:11]
        self._sides = (Staging(url, f"{run}a", targets), Staging(url, f"{run}b", targets))
        self._lock_timeout_ms = lock_timeout_ms
        self.reach = hook
        self._last = last
        self._connection: Any = None
        self._next_look = 0.0

    @property
    def areas(self) -> tuple[StagingArea, StagingArea]:
        """Return where the tasks copy to: the two sides."""
        one, other = self._sides
        return one.area, other.area

    def open(self, *, accept_reset: bool = False) -> dict[int, int]:
        """Claim the topic, make the staging tables; return the recorded offsets of the topic.

        ``accept_reset`` gives up what Kafka held of a topic that was made anew since.

        Raises:
            EncoreError: another job counts the topic into this database, or the topic was
                deleted and made anew since it was last counted.
        """
        self._connect()
        with self._connection, self._connection.cursor() as cursor:
            if accept_reset and close_other_topics(cursor, self._topic, self._topic_id):
                log.warning(
                    "topic was made anew: counting it from its beginning", topic=self._topic
                )
            if other_topic_ids(cursor, self._topic, self._topic_id):
                raise EncoreError(topic_was_recreated(self._topic))
            return read_progress(cursor, self._topic, self._topic_id)

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Record where counting begins, for partitions seen for the first time."""
        with self._connection, self._connection.cursor() as cursor:
            begin_counting(cursor, self._topic, self._topic_id, offsets)

    def close(self) -> None:
        """Drop the staging tables, unless PostgreSQL is gone; the next start drops leftovers."""
        if self._connection is None:
            return
        with suppress(psycopg2.Error), self._connection, self._connection.cursor() as cursor:
            for one in self._sides:
                one.drop(cursor)
        self._connection.close()

    def recorded(self) -> dict[int, int]:
        """Return the first offset of each partition that is not counted.

        Raises:
            psycopg2.OperationalError, psycopg2.InterfaceError: time may heal it; ask again.
        """
        with self._transaction() as cursor:
            return read_progress(cursor, self._topic, self._topic_id)

    def empty(self, side: int) -> None:
        """Delete what was staged on a side, and give back its room.

        Raises:
            psycopg2.OperationalError, psycopg2.InterfaceError: time may heal it; try again.
        """
        with self._transaction() as cursor:
            self._sides[side].empty(cursor)

    def merge(self, spark_batch: int, staged: StagedBatch) -> Written:
        """Merge a staged batch and record that it is counted, in one transaction.

        Raises:
            psycopg2.OperationalError, psycopg2.InterfaceError: time may heal it; whether it was
                committed, :meth:`recorded` tells.
            EncoreError: another job counts the same topic.
        """
        steps = advances(staged.begins, staged.ends, staged.tallies)
        watch = _Stopwatch({"stage": staged.took_ms})
        self.reach("before-commit")
        with self._transaction() as cursor:
            self._lock(cursor, staged.begins, steps)
            self._sides[staged.side].merge(cursor, staged.attempts)
            watch.lap("merge")
            audit = Audit(self._run_id, spark_batch, watch.phases_ms)
            record_advances(cursor, self._topic, self._topic_id, steps)
            record_audit(cursor, self._topic, steps, audit)
            if self._last is not None:
                cursor.execute(self._last, (self._topic, self._topic_id))
            state = self._look_at_state(cursor)
        watch.lap("commit")
        self.reach("after-commit")
        return Written(steps, staged.tallies, watch.phases_ms, state)

    @contextmanager
    def _transaction(self) -> Iterator[extensions.cursor]:
        """Give a cursor in a transaction; a connection that failed is never used again."""
        if self._connection is None or self._connection.closed:
            self._connect()
        try:
            with self._connection, self._connection.cursor() as cursor:
                yield cursor
        except TRANSIENT:
            self._connection.close()
            raise

    def _look_at_state(self, cursor: extensions.cursor) -> tuple[int, int] | None:
        now = time.monotonic()
        if now < self._next_look:
            return None
        self._next_look = now + _STATE_EVERY_SECONDS
        cursor.execute(
            "SELECT sum(events)::bigint, sum(octet_length(packed)) "
            "FROM seen_events WHERE topic = %s",
            (self._topic,),
        )
        ((rows, size),) = cursor.fetchall()
        return rows or 0, size or 0

    def _connect(self) -> None:
        self._connection = connect(self._url, application_name="encore-stream")
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = %s", (self._lock_timeout_ms,))
            # One connection, which sorts the rows of a batch: in memory, whatever the default is.
            cursor.execute("SET work_mem = '64MB'")
            self._claim(cursor)
            drop_leftovers(cursor, keep=[one.run for one in self.areas])
            for one in self._sides:
                one.create(cursor)

    def _claim(self, cursor: extensions.cursor) -> None:
        """Hold the topic in this database for as long as the connection lives."""
        give_up = time.monotonic() + _CLAIM_SECONDS
        while not self._try_claim(cursor):
            # The server may need a moment to notice that the last job was killed.
            if time.monotonic() < give_up:
                time.sleep(0.2)
                continue
            raise EncoreError(
                f"another streaming job counts {self._topic} into this database. One is enough: "
                "stop the other (`encore status` and the log of this one say where), or wait a "
                "moment if it was just killed."
            )

    def _try_claim(self, cursor: extensions.cursor) -> bool:
        cursor.execute(
            "SELECT pg_try_advisory_lock(hashtext('encore-stream'), "
            "hashtext(current_schema() || '/' || %s))",
            (self._topic,),
        )
        return bool(cursor.fetchall()[0][0])

    def _lock(
        self, cursor: extensions.cursor, expected: Mapping[int, int], steps: Sequence[Advance]
    ) -> None:
        new = {step.partition: step.start for step in steps if step.partition not in expected}
        if new:
            begin_counting(cursor, self._topic, self._topic_id, new)
        now = read_progress(cursor, self._topic, self._topic_id, lock=True)
        if now != {**expected, **new}:
            raise EncoreError(
                f"another streaming job counted {self._topic} into this database meanwhile. "
                "Nothing of this batch was counted; stop one of the two."
            )


def topic_was_recreated(topic: str) -> str:
    """Return what to say when a topic is no longer the one that was counted."""
    return (
        f"Kafka topic {topic} was deleted and created again since it was last counted: its offsets "
        "mean other records now. Everything counted stays right; what the old topic held and was "
        "not counted is gone. To count the new topic from its beginning, on top of what is "
        "counted: `encore stream --accept-topic-reset`. Or start with an empty database."
    )
