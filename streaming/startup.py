"""What the job settles before it reads a record: where to begin, and whether it may."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2 import extensions
from psycopg2.extras import execute_values

from encore.errors import EncoreError, SettingsError
from encore.log import get_logger
from encore.topics import beginning_offsets, offsets_since
from streaming.checkpoint import Checkpoint
from streaming.sink.progress import Recorded

log = get_logger("streaming")

# Another number makes every query begin with a new checkpoint: raise it when a query changes.
QUERY_VERSION = 1


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a query begins if it has no checkpoint.

    ``counting`` is the first offset of each partition that counts, ``reading`` the first that is
    read: where the two differ, the records between refill the duplicate state.
    """

    counting: Mapping[int, int]
    reading: Mapping[int, int]


def beginning(
    bootstrap: str, topic: str, recorded: Mapping[int, Recorded], horizon: timedelta
) -> Beginning:
    """Find where to begin: at what is recorded, and one horizon of arrivals before it.

    Raises:
        EncoreError: Kafka no longer has records that were not counted yet.
    """
    oldest = {part: offset for (_, part), offset in beginning_offsets(bootstrap, [topic]).items()}
    _refuse_gap(topic, recorded, oldest)
    counting = {
        part: recorded[part].next_offset if part in recorded else offset
        for part, offset in oldest.items()
    }
    arrivals = [row.arrived_at for row in recorded.values() if row.arrived_at]
    if not arrivals:
        return Beginning(counting, counting)
    since = offsets_since(bootstrap, topic, _milliseconds(min(arrivals) - horizon))
    reading = {
        part: max(oldest[part], min(offset, since.get(part, offset)))
        for part, offset in counting.items()
    }
    return Beginning(counting, reading)


def _refuse_gap(topic: str, recorded: Mapping[int, Recorded], oldest: Mapping[int, int]) -> None:
    lost = {
        part: oldest[part] - row.next_offset
        for part, row in recorded.items()
        if oldest.get(part, 0) > row.next_offset
    }
    if lost:
        raise EncoreError(
            f"Kafka has thrown away records of {topic} that were never counted: "
            f"{sum(lost.values())} in partitions {sorted(lost)}. The tables cannot be complete. "
            "Raise KAFKA_RETENTION_DAYS, and start with an empty database."
        )


def checkpoint_location(root: str, topic: str, topic_id: str, shuffle_partitions: int) -> str:
    """Return the folder of a query's checkpoint.

    Its name says what a checkpoint cannot survive: another topic, another version of the query,
    another number of state partitions. A change of these begins a new one.
    """
    made_of = f"{topic_id}/{QUERY_VERSION}/{shuffle_partitions}"
    mark = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    return f"{root.rstrip('/')}/{topic}-{mark}"


def mistrust(
    checkpoint: Checkpoint,
    recorded: Mapping[int, Recorded],
    horizon: timedelta,
    now: datetime,
) -> str | None:
    """Return why a checkpoint must not be gone on with, or None.

    It may be ahead of the database (which was restored or emptied), and its duplicate state may
    be about to forget what is still within the horizon of a long backlog.
    """
    ends = checkpoint.committed_ends() if checkpoint.exists() else None
    if ends is None:
        return "it was never committed" if checkpoint.exists() else None
    known = {part: row.next_offset for part, row in recorded.items()}
    if any(end > known.get(part, 0) for part, end in ends.items()):
        return "it is ahead of the database"
    if recorded and now - max(row.updated_at for row in recorded.values()) > horizon / 2:
        return "the job was away for more than half of the duplicate horizon"
    return None


def record_settings(cursor: extensions.cursor, wanted: Mapping[str, float]) -> None:
    """Record the settings that only views depend on: they may change at any time."""
    execute_values(
        cursor,
        "INSERT INTO feature_settings (name, value) VALUES %s "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        list(wanted.items()),
    )


def claim_settings(cursor: extensions.cursor, wanted: Mapping[str, float]) -> None:
    """Record the settings that features are built with; refuse to mix others into them.

    Raises:
        SettingsError: the stored features were built with another value.
    """
    execute_values(
        cursor,
        "INSERT INTO feature_settings (name, value) VALUES %s ON CONFLICT DO NOTHING",
        list(wanted.items()),
    )
    cursor.execute("SELECT name, value FROM feature_settings")
    stored: dict[str, float] = dict(cursor.fetchall())
    for name, value in wanted.items():
        if stored[name] != value:
            raise SettingsError(
                f"{name.upper()}={value:g}, but the stored features were built with "
                f"{stored[name]:g}. Set {name.upper()}={stored[name]:g}, or start with an empty "
                "database: the two cannot be added up."
            )


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def describe(beginning: Beginning) -> str:
    """Return where a query begins, for the log."""
    return json.dumps({str(part): offset for part, offset in sorted(beginning.reading.items())})
