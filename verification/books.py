"""The stream's own books in PostgreSQL, read in one snapshot with everything they account for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg2 import extensions

from database.engine import connect


@dataclass(frozen=True, slots=True)
class Counted:
    """A row of ``stream_offsets``: what is counted of a partition, and what became of it."""

    topic: str
    topic_id: str
    partition: int
    first_offset: int
    next_offset: int
    accepted: int
    late: int
    duplicate: int
    rejected: int
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class Audited:
    """The sums of ``ingest_audit`` over the batches of a topic.

    ``moved`` has, for each partition, how many offsets its batches went over.
    """

    moved: Mapping[int, int]
    read: int = 0
    accepted: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """What the database says of its own numbers, as of one moment.

    ``kept`` counts the rows of ``rejected_events`` by topic and partition; ``settings`` are those
    that the features were built with, each in the unit of its setting. ``reset`` names the topics
    that were made anew and counted on: their tables and audit hold what no topic has any more.
    ``erased`` has, by the hex of a deleted user's digest, the offset of each partition of the
    events before which what names the user is gone; ``erased_rejects`` are the places (topic,
    partition, offset) of rejected records whose bytes are.
    """

    counted: Sequence[Counted]
    kept: Mapping[tuple[str, int], int]
    audited: Mapping[str, Audited]
    settings: Mapping[str, float]
    reset: Sequence[str] = ()
    erased: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    erased_rejects: Sequence[tuple[str, int, int]] = ()

    def of(self, topic: str) -> list[Counted]:
        """Return the partitions of a topic."""
        return [one for one in self.counted if one.topic == topic]


@contextmanager
def snapshot(url: str) -> Iterator[extensions.cursor]:
    """Yield a cursor that sees the database as it is now, whatever is committed meanwhile.

    Raises:
        ServiceUnavailableError: PostgreSQL does not answer.
    """
    connection = connect(url, application_name="encore verify")
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def read_books(cursor: extensions.cursor) -> Books:
    """Read the offsets, the audit, the rejected records' numbers and the settings."""
    cursor.execute(
        "SELECT topic, topic_id, partition, first_offset, next_offset, accepted, late, duplicate, "
        "rejected, gaps FROM stream_offsets WHERE closed_at IS NULL ORDER BY topic, partition"
    )
    counted = [Counted(*row) for row in cursor.fetchall()]
    cursor.execute(
        "SELECT r.topic, r.partition, count(*) FROM rejected_events AS r "
        "WHERE NOT EXISTS (SELECT FROM stream_offsets AS o WHERE closed_at IS NOT NULL "
        "AND (o.topic, o.topic_id, o.partition) = (r.topic, r.topic_id, r.partition)) "
        "GROUP BY 1, 2"
    )
    kept = {(topic, partition): count for topic, partition, count in cursor.fetchall()}
    cursor.execute("SELECT name, value FROM feature_settings")
    settings = dict(cursor.fetchall())
    cursor.execute("SELECT DISTINCT topic FROM stream_offsets WHERE closed_at IS NOT NULL")
    reset = [row[0] for row in cursor.fetchall()]
    cursor.execute(
        'SELECT topic, partition, "offset" FROM rejected_events WHERE erased_at IS NOT NULL'
    )
    rejects = cursor.fetchall()
    audited, erased = _read_audit(cursor), _read_erased(cursor, counted)
    return Books(counted, kept, audited, settings, reset, erased, rejects)


def _read_erased(
    cursor: extensions.cursor, counted: Sequence[Counted]
) -> dict[str, dict[int, int]]:
    """Return where each erasure ends; of one that is not done, that is all that is counted."""
    cursor.execute(
        "SELECT encode(digest, 'hex'), topic_id, CASE WHEN user_id IS NULL THEN upto END "
        "FROM erasures"
    )
    return {
        digest: {int(part): int(end) for part, end in upto.items()}
        if upto is not None
        else {one.partition: one.next_offset for one in counted if one.topic_id == topic_id}
        for digest, topic_id, upto in cursor.fetchall()
    }


def _read_audit(cursor: extensions.cursor) -> dict[str, Audited]:
    cursor.execute(
        "SELECT topic, key::int, sum(value::bigint - (from_offsets ->> key)::bigint)::bigint "
        "FROM ingest_audit, jsonb_each_text(to_offsets) GROUP BY 1, 2"
    )
    moved: dict[str, dict[int, int]] = {}
    for topic, partition, offsets in cursor.fetchall():
        moved.setdefault(topic, {})[partition] = offsets
    cursor.execute(
        "SELECT topic, sum(read)::bigint, sum(accepted)::bigint, sum(late)::bigint, "
        "sum(duplicate)::bigint, sum(rejected)::bigint FROM ingest_audit GROUP BY topic"
    )
    return {topic: Audited(moved.get(topic, {}), *sums) for topic, *sums in cursor.fetchall()}
