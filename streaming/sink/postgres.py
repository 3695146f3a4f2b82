"""The sink: one micro-batch, one transaction, however often it is tried."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import psycopg2
from psycopg2 import extensions
from pyspark.sql import DataFrame

from database.engine import connect
from encore.errors import EncoreError
from encore.log import get_logger
from streaming.sink.merge import Target
from streaming.sink.progress import (
    Advance,
    Audit,
    Recorded,
    Tally,
    advances,
    begin_counting,
    other_topic_ids,
    read_progress,
    record_advances,
    record_audit,
)
from streaming.sink.staging import Staging

log = get_logger("streaming")

# How often a batch starts over because another job counted the same offsets in the meantime.
_ATTEMPTS = 5


class ProgressMovedError(Exception):
    """Another job recorded offsets of this topic since the batch read them."""


@dataclass(frozen=True)
class Deltas:
    """What a micro-batch adds: the tally of each partition, and the rows for each target."""

    tallies: Sequence[Tally]
    frames: Mapping[str, DataFrame]


Compute = Callable[[Mapping[int, int]], Deltas]


@dataclass
class _Stopwatch:
    phases_ms: dict[str, int] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def lap(self, phase: str) -> None:
        now = time.monotonic()
        self.phases_ms[phase] = round((now - self._since) * 1000)
        self._since = now


class PostgresSink:
    """Writes the micro-batches of one topic into PostgreSQL, each exactly once.

    The order of a write:

    1. Read the recorded offsets of the topic. Partitions whose batch ends at or before them
       are counted already.
    2. Compute the deltas of the records from the recorded offsets on (Spark).
    3. Copy the deltas into the staging tables of this run: each task in a transaction of its
       own, tagged with its attempt.
    4. Begin the transaction. Lock the topic's rows of ``stream_offsets``; if they are no longer
       those of step 1, another job was faster: roll back and start again at step 1.
    5. Merge the staged rows of the attempts that Spark reported into the tables.
    6. Add the counts to ``stream_offsets`` and move its offsets to the end of the batch; write
       the row of ``ingest_audit``; empty the staging tables.
    7. Commit.

    A crash before 7 leaves nothing but staged rows, which the next start drops; Spark then tries
    the batch again. A crash after 7, before Spark's own commit, makes Spark try it again as
    well, and step 1 finds it counted.
    """

    def __init__(
        self,
        url: str,
        topic: str,
        topic_id: str,
        targets: Sequence[Target],
        *,
        compacted: bool = False,
    ) -> None:
        """Take the database, the topic and the tables that its deltas go into."""
        self._url = url
        self._topic = topic
        self._topic_id = topic_id
        self._compacted = compacted
        self._run_id: UUID = uuid4()
        self._staging = Staging(self._run_id.hex[:12], targets)
        self._names = [target.name for target in targets]
        self._connection = connect(url, application_name="encore-stream")

    def open(self) -> dict[int, Recorded]:
        """Make the staging tables; return what is recorded of the topic.

        Raises:
            EncoreError: the topic was deleted and made anew since it was last counted.
        """
        with self._connection, self._connection.cursor() as cursor:
            if other_topic_ids(cursor, self._topic, self._topic_id):
                raise EncoreError(
                    f"Kafka topic {self._topic} was deleted and created again since it was last "
                    "counted: its offsets mean other records now. Start with an empty database "
                    "(`encore demo --fresh`, or another POSTGRES_DB), or bring the old topic back."
                )
            self._staging.create(cursor)
            return read_progress(cursor, self._topic, self._topic_id)

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Record where counting begins, for partitions seen for the first time."""
        with self._connection, self._connection.cursor() as cursor:
            begin_counting(cursor, self._topic, self._topic_id, offsets)

    def close(self) -> None:
        """Drop the staging tables, unless PostgreSQL is gone; the next start drops leftovers."""
        with suppress(psycopg2.Error), self._connection, self._connection.cursor() as cursor:
            self._staging.drop(cursor)
        self._connection.close()

    def write(self, spark_batch: int, ends: Mapping[int, int], compute: Compute) -> None:
        """Write a batch that ends before the offsets ``ends``; do nothing if it is counted.

        ``compute`` gets the recorded offset of each partition and returns the deltas of the
        records from there on.
        """
        for _ in range(_ATTEMPTS):
            try:
                self._write_once(spark_batch, ends, compute)
            except ProgressMovedError:
                log.warning("another job counts the same topic", topic=self._topic)
            else:
                return
        raise EncoreError(
            f"another streaming job keeps counting {self._topic} into the same database; "
            "stop one of the two"
        )

    def _write_once(self, spark_batch: int, ends: Mapping[int, int], compute: Compute) -> None:
        watch = _Stopwatch()
        recorded = self._recorded()
        deltas = compute(recorded)
        watch.lap("compute")
        steps = advances(recorded, ends, deltas.tallies, compacted=self._compacted)
        if not steps:
            return
        attempts = self._staging.load(self._url, deltas.frames)
        watch.lap("stage")
        with self._connection, self._connection.cursor() as cursor:
            self._lock(cursor, recorded, steps)
            self._staging.merge(cursor, self._names, attempts)
            watch.lap("merge")
            audit = Audit(self._run_id, spark_batch, watch.phases_ms)
            record_advances(cursor, self._topic, self._topic_id, steps)
            record_audit(cursor, self._topic, steps, audit)
        watch.lap("commit")
        self._tell(spark_batch, steps, watch.phases_ms)

    def _recorded(self) -> dict[int, int]:
        with self._connection, self._connection.cursor() as cursor:
            rows = read_progress(cursor, self._topic, self._topic_id)
        return {partition: row.next_offset for partition, row in rows.items()}

    def _lock(
        self, cursor: extensions.cursor, expected: Mapping[int, int], steps: Sequence[Advance]
    ) -> None:
        new = {step.partition: step.start for step in steps if step.partition not in expected}
        if new:
            begin_counting(cursor, self._topic, self._topic_id, new)
        now = read_progress(cursor, self._topic, self._topic_id, lock=True)
        if {partition: row.next_offset for partition, row in now.items()} != {**expected, **new}:
            raise ProgressMovedError

    def _tell(
        self, spark_batch: int, steps: Sequence[Advance], phases_ms: Mapping[str, int]
    ) -> None:
        log.info(
            "batch committed",
            topic=self._topic,
            batch=spark_batch,
            read=sum(step.read for step in steps),
            accepted=sum(step.accepted for step in steps),
            late=sum(step.late for step in steps),
            duplicate=sum(step.duplicate for step in steps),
            rejected=sum(step.rejected for step in steps),
            ms=dict(phases_ms),
        )
