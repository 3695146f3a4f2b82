"""What the job settles before it reads a record: where to begin, and whether it may."""

from collections.abc import Mapping

from psycopg2 import extensions
from psycopg2.extras import execute_values

from encore.errors import EncoreError, SettingsError
from encore.topics import beginning_offsets, end_offsets


def beginning(bootstrap: str, topic: str, recorded: Mapping[int, int]) -> dict[int, int]:
    """Return the first offset to read of each partition: what is recorded, else the oldest.

    Raises:
        EncoreError: Kafka no longer has records that were not counted, or has fewer than were.
    """
    oldest = oldest_offsets(bootstrap, topic)
    ends = {part: offset for (_, part), offset in end_offsets(bootstrap, [topic]).items()}
    _refuse_gap(topic, recorded, oldest)
    _refuse_loss(topic, recorded, ends)
    return {part: recorded.get(part, offset) for part, offset in oldest.items()}


def oldest_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Return the offset of the oldest record that Kafka still has, of each partition."""
    return {part: offset for (_, part), offset in beginning_offsets(bootstrap, [topic]).items()}


def thrown_away(needed: Mapping[int, int], oldest: Mapping[int, int]) -> dict[int, int]:
    """Return how many records from ``needed`` on Kafka no longer has, where it lacks any."""
    return {
        part: oldest[part] - offset
        for part, offset in needed.items()
        if oldest.get(part, 0) > offset
    }


def _refuse_gap(topic: str, recorded: Mapping[int, int], oldest: Mapping[int, int]) -> None:
    lost = thrown_away(recorded, oldest)
    if lost:
        raise EncoreError(
            f"Kafka has thrown away records of {topic} that were never counted: "
            f"{sum(lost.values())} in partitions {sorted(lost)}. The tables cannot be complete. "
            "Raise KAFKA_RETENTION_DAYS, and start with an empty database."
        )


def _refuse_loss(topic: str, recorded: Mapping[int, int], ends: Mapping[int, int]) -> None:
    short = sorted(part for part, offset in recorded.items() if ends.get(part, offset) < offset)
    if short:
        raise EncoreError(
            f"Kafka has fewer records of {topic} than were counted, in partitions {short}: the "
            "broker lost some, or this is another cluster. Its next records would be taken for "
            "counted ones. Check KAFKA_BOOTSTRAP_SERVERS, or start with an empty database."
        )


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
