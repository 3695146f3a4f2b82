"""How far each partition is counted: ``stream_offsets``, and the audit of each batch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg2 import extensions
from psycopg2.extras import execute_values


@dataclass(frozen=True, slots=True)
class Recorded:
    """What PostgreSQL knows of a partition."""

    next_offset: int
    arrived_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """What a batch found in one partition, duplicates already left out."""

    partition: int
    accepted: int
    late: int
    rejected: int
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Advance:
    """One partition's step: from its recorded offset to the end of the batch, and the counts."""

    partition: int
    start: int
    end: int
    accepted: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: int = 0
    arrived_at: datetime | None = None

    @property
    def read(self) -> int:
        """Return how many records the step took in."""
        return self.accepted + self.duplicate + self.rejected


@dataclass(frozen=True, slots=True)
class Audit:
    """Which batch it was, and what each step of it took."""

    run_id: UUID
    spark_batch: int
    phases_ms: Mapping[str, int]


def advances(
    recorded: Mapping[int, int],
    ends: Mapping[int, int],
    tallies: Sequence[Tally],
    *,
    compacted: bool,
) -> list[Advance]:
    """Return the steps of the partitions that move.

    Every offset between the recorded one and the end is a record, so what was neither accepted
    nor rejected was a duplicate. In a compacted topic offsets have gaps and no duplicates are
    dropped: there the records found are the records read.
    """
    found = {tally.partition: tally for tally in tallies}
    steps = []
    for partition, end in sorted(ends.items()):
        start = recorded.get(partition, 0)
        tally = found.get(partition)
        if end > start:
            steps.append(_advance(partition, start, end, tally, compacted=compacted))
    return steps


def _advance(
    partition: int, start: int, end: int, tally: Tally | None, *, compacted: bool
) -> Advance:
    if tally is None:
        return Advance(partition, start, end, duplicate=0 if compacted else end - start)
    duplicate = 0 if compacted else end - start - tally.accepted - tally.rejected
    return Advance(
        partition,
        start,
        end,
        accepted=tally.accepted,
        late=tally.late,
        duplicate=duplicate,
        rejected=tally.rejected,
        arrived_at=tally.arrived_at,
    )


def read_progress(
    cursor: extensions.cursor, topic: str, topic_id: str, *, lock: bool = False
) -> dict[int, Recorded]:
    """Return what is recorded of each partition of a topic; with ``lock``, until the commit."""
    select = (
        "SELECT partition, next_offset, arrived_at, updated_at FROM stream_offsets "
        "WHERE topic = %s AND topic_id = %s ORDER BY partition"
    )
    cursor.execute(f"{select} FOR UPDATE" if lock else select, (topic, topic_id))
    return {partition: Recorded(*rest) for partition, *rest in cursor.fetchall()}


def other_topic_ids(cursor: extensions.cursor, topic: str, topic_id: str) -> list[str]:
    """Return the ids under which this topic was counted before, if it was made anew since."""
    cursor.execute(
        "SELECT DISTINCT topic_id FROM stream_offsets WHERE topic = %s AND topic_id <> %s",
        (topic, topic_id),
    )
    return [row[0] for row in cursor.fetchall()]


def begin_counting(
    cursor: extensions.cursor, topic: str, topic_id: str, offsets: Mapping[int, int]
) -> None:
    """Record where counting begins, for the partitions that have no record yet."""
    execute_values(
        cursor,
        "INSERT INTO stream_offsets (topic, topic_id, partition, first_offset, next_offset) "
        "VALUES %s ON CONFLICT DO NOTHING",
        [(topic, topic_id, number, offset, offset) for number, offset in offsets.items()],
    )


def record_advances(
    cursor: extensions.cursor, topic: str, topic_id: str, steps: Sequence[Advance]
) -> None:
    """Move the recorded offsets and add up the counts."""
    execute_values(
        cursor,
        "UPDATE stream_offsets AS o SET next_offset = s.next_offset, "
        "accepted = o.accepted + s.accepted, late = o.late + s.late, "
        "duplicate = o.duplicate + s.duplicate, rejected = o.rejected + s.rejected, "
        "arrived_at = greatest(o.arrived_at, s.arrived_at::timestamptz), updated_at = now() "
        "FROM (VALUES %s) AS s (topic, topic_id, partition, next_offset, accepted, late, "
        "duplicate, rejected, arrived_at) "
        "WHERE (o.topic, o.topic_id, o.partition) = (s.topic, s.topic_id, s.partition)",
        [
            (
                topic,
                topic_id,
                step.partition,
                step.end,
                step.accepted,
                step.late,
                step.duplicate,
                step.rejected,
                step.arrived_at,
            )
            for step in steps
        ],
    )


def record_audit(
    cursor: extensions.cursor, topic: str, steps: Sequence[Advance], audit: Audit
) -> None:
    """Write what became of every record of the batch."""
    cursor.execute(
        "INSERT INTO ingest_audit (topic, run_id, spark_batch, from_offsets, to_offsets, read, "
        "accepted, late, duplicate, rejected, phases) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            topic,
            str(audit.run_id),
            audit.spark_batch,
            json.dumps({step.partition: step.start for step in steps}),
            json.dumps({step.partition: step.end for step in steps}),
            sum(step.read for step in steps),
            sum(step.accepted for step in steps),
            sum(step.late for step in steps),
            sum(step.duplicate for step in steps),
            sum(step.rejected for step in steps),
            json.dumps(audit.phases_ms),
        ),
    )
