"""How far each partition is counted: ``stream_offsets``, and the audit of each batch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from psycopg2 import extensions
from psycopg2.extras import execute_values


@dataclass(frozen=True, slots=True)
class Tally:
    """What a batch found in one partition.

    ``arrived_ms``, ``event_ms`` and ``produced_ms`` are the newest arrival in Kafka, event time
    and sending of an accepted record, in ms since 1970; None where no record says. ``reasons``
    counts the rejected records by reason.
    """

    partition: int
    accepted: int
    late: int
    duplicate: int
    rejected: int
    arrived_ms: int
    event_ms: int | None = None
    produced_ms: int | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)


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
    arrived_ms: int | None = None

    @property
    def read(self) -> int:
        """Return how many records the step took in."""
        return self.accepted + self.duplicate + self.rejected

    @property
    def gaps(self) -> int:
        """Return how many offsets hold no record: compacted away, or a transaction's."""
        return self.end - self.start - self.read


@dataclass(frozen=True, slots=True)
class Audit:
    """Which batch it was, and what each step of it took."""

    run_id: UUID
    spark_batch: int
    phases_ms: Mapping[str, int]


def advances(
    recorded: Mapping[int, int], ends: Mapping[int, int], tallies: Sequence[Tally]
) -> list[Advance]:
    """Return the steps of the partitions that move."""
    found = {tally.partition: tally for tally in tallies}
    starts = {partition: recorded.get(partition, 0) for partition in sorted(ends)}
    return [
        _advance(partition, start, ends[partition], found.get(partition))
        for partition, start in starts.items()
        if ends[partition] > start
    ]


def _advance(partition: int, start: int, end: int, tally: Tally | None) -> Advance:
    if tally is None:
        return Advance(partition, start, end)
    return Advance(
        partition,
        start,
        end,
        accepted=tally.accepted,
        late=tally.late,
        duplicate=tally.duplicate,
        rejected=tally.rejected,
        arrived_ms=tally.arrived_ms,
    )


def read_progress(
    cursor: extensions.cursor, topic: str, topic_id: str, *, lock: bool = False
) -> dict[int, int]:
    """Return the first offset of each partition not counted; with ``lock``, until the commit."""
    select = (
        "SELECT partition, next_offset FROM stream_offsets "
        "WHERE topic = %s AND topic_id = %s ORDER BY partition"
    )
    cursor.execute(f"{select} FOR UPDATE" if lock else select, (topic, topic_id))
    return dict(cursor.fetchall())


def other_topic_ids(cursor: extensions.cursor, topic: str, topic_id: str) -> list[str]:
    """Return the ids under which this topic was counted before, if it was made anew since."""
    cursor.execute(
        "SELECT DISTINCT topic_id FROM stream_offsets "
        "WHERE topic = %s AND topic_id <> %s AND closed_at IS NULL",
        (topic, topic_id),
    )
    return [row[0] for row in cursor.fetchall()]


def close_other_topics(cursor: extensions.cursor, topic: str, topic_id: str) -> int:
    """Give up what was counted under other ids of this topic; return how many partitions."""
    cursor.execute(
        "UPDATE stream_offsets SET closed_at = now() "
        "WHERE topic = %s AND topic_id <> %s AND closed_at IS NULL",
        (topic, topic_id),
    )
    return int(cursor.rowcount)


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
        "gaps = o.gaps + s.gaps, arrived_at = "
        "greatest(o.arrived_at, to_timestamp(s.arrived_ms::double precision / 1000)), "
        "updated_at = now() "
        "FROM (VALUES %s) AS s (topic, topic_id, partition, next_offset, accepted, late, "
        "duplicate, rejected, gaps, arrived_ms) "
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
                step.gaps,
                step.arrived_ms,
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
