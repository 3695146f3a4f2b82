"""Reading, locking and marking the rows of ``rejected_events``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from psycopg2 import extensions, sql
from psycopg2.extras import execute_values

from database.rejected.places import Place

_PLACE: Final = 'r.topic, r.topic_id, r.partition, r."offset"'
_ABOUT: Final = "r.reason, r.field, r.arrived_at, r.rejected_at, r.replayed_at, r.replayed_to"
_JOINED: Final = (
    "rejected_events AS r JOIN (VALUES %s) AS v (topic, topic_id, partition, at) "
    "ON r.topic = v.topic AND (v.topic_id IS NULL OR r.topic_id = v.topic_id) "
    'AND r.partition = v.partition AND r."offset" = v.at'
)
_ROWS_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One rejected record. ``size`` is that of the value in bytes, of which ``raw`` may be a cut.

    ``replayed_to`` is the partition/offset where it was sent again, None where it was not.
    """

    place: Place
    reason: str
    field: str | None
    arrived_at: datetime
    rejected_at: datetime
    replayed_at: datetime | None
    replayed_to: str | None
    key: bytes | None
    raw: bytes | None
    size: int


@dataclass(frozen=True, slots=True)
class Group:
    """How many records of a topic were rejected for one reason, and when they arrived."""

    topic: str
    reason: str
    field: str | None
    count: int
    replayed: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rejected records are meant: all that every given filter lets through.

    ``since`` is of their arrival in Kafka, ``until`` of their rejection.
    """

    reason: str | None = None
    field: str | None = None
    topic: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    replayed: bool = False

    def where(self, *more: str) -> sql.Composable:
        """Return the condition; ``more`` are conditions beside those of the filters."""
        conditions = {
            "r.reason = %(reason)s": self.reason,
            "r.field = %(field)s": self.field,
            "r.topic = %(topic)s": self.topic,
            "r.arrived_at >= %(since)s": self.since,
            "r.rejected_at <= %(until)s": self.until,
        }
        chosen = [text for text, value in conditions.items() if value is not None]
        if not self.replayed:
            chosen.append("r.replayed_at IS NULL")
        return sql.SQL(" AND ").join(map(sql.SQL, [*chosen, *more, "true"]))

    def values(self) -> dict[str, Any]:
        """Return the values of the condition's parameters."""
        names = ("reason", "field", "topic", "since", "until")
        return {name: getattr(self, name) for name in names}


def summary(cursor: extensions.cursor, filters: Filters) -> list[Group]:
    """Return the counts by topic, reason and field, the most frequent first."""
    query = sql.SQL(
        "SELECT r.topic, r.reason, r.field, count(*), count(r.replayed_at), min(r.arrived_at),"
        " max(r.arrived_at) FROM rejected_events AS r WHERE {} "
        "GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 2, 3"
    )
    cursor.execute(query.format(filters.where()), filters.values())
    return [Group(*row) for row in cursor.fetchall()]


def count(cursor: extensions.cursor, filters: Filters) -> list[tuple[str, str, int, int]]:
    """Return topic, topic id, rows that wait and rows that were replayed, of every topic."""
    query = sql.SQL(
        "SELECT r.topic, r.topic_id, count(*) FILTER (WHERE r.replayed_at IS NULL), "
        "count(r.replayed_at) FROM rejected_events AS r WHERE {} GROUP BY 1, 2 ORDER BY 1, 2"
    )
    every = replace(filters, replayed=True)
    cursor.execute(query.format(every.where()), every.values())
    return cursor.fetchall()


def read(
    connection: extensions.connection,
    filters: Filters,
    *,
    limit: int | None = None,
    cut: int | None = None,
) -> Iterator[Row]:
    """Yield the rows in the order of their places, held a few at a time.

    ``cut`` is how many bytes of a value are read, by default all.
    """
    query = sql.SQL(
        "SELECT {columns} FROM rejected_events AS r WHERE {where} "
        'ORDER BY r.topic, r.topic_id, r.partition, r."offset" LIMIT %(limit)s'
    )
    with connection.cursor("rejected") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(
            query.format(columns=_columns(cut), where=filters.where()),
            filters.values() | {"limit": limit},
        )
        for row in cursor:
            yield _row(row)


def find(cursor: extensions.cursor, place: Place) -> list[Row]:
    """Return the records of a place: several if the topic was made anew."""
    query = sql.SQL(
        "SELECT {columns} FROM rejected_events AS r WHERE r.topic = %s AND r.partition = %s "
        'AND r."offset" = %s AND (%s::text IS NULL OR r.topic_id = %s) ORDER BY r.arrived_at'
    )
    cursor.execute(
        query.format(columns=_columns(None)),
        (place.topic, place.partition, place.offset, place.topic_id, place.topic_id),
    )
    return [_row(row) for row in cursor.fetchall()]


def known(cursor: extensions.cursor, places: Sequence[Place]) -> list[tuple[Place, bool]]:
    """Return which of the places are there, and whether they were replayed."""
    query = f"SELECT {_PLACE}, r.replayed_at IS NOT NULL FROM {_JOINED}"  # noqa: S608
    found = execute_values(cursor, query, _values(places), page_size=len(places), fetch=True)
    return [(Place(*row[:4]), row[4]) for row in found]


def lock_next(
    cursor: extensions.cursor, filters: Filters, after: Place | None, limit: int
) -> list[tuple[Place, int]]:
    """Lock the next rows that nobody else has locked; return their places and sizes in bytes.

    The order is that of the places, so the records of a key keep theirs.
    """
    beyond = (
        '(r.topic, r.topic_id, r.partition, r."offset") '
        "> (%(after_topic)s, %(after_id)s, %(after_partition)s, %(after_offset)s)"
    )
    query = sql.SQL(
        f"SELECT {_PLACE}, coalesce(octet_length(r.raw), 0) "  # noqa: S608
        f"FROM rejected_events AS r WHERE {{}} ORDER BY {_PLACE} LIMIT %(limit)s "
        "FOR UPDATE SKIP LOCKED"
    )
    where = filters.where(beyond) if after else filters.where()
    cursor.execute(query.format(where), filters.values() | _after(after) | {"limit": limit})
    return [(Place(*row[:4]), row[4]) for row in cursor.fetchall()]


def lock_these(cursor: extensions.cursor, places: Sequence[Place]) -> list[tuple[Place, int]]:
    """Lock those of the places that are not replayed and that nobody else has locked.

    Returns their places, in the order of Kafka, and their sizes in bytes.
    """
    query = (
        f"SELECT {_PLACE}, coalesce(octet_length(r.raw), 0) FROM {_JOINED} "  # noqa: S608
        f"WHERE r.replayed_at IS NULL ORDER BY {_PLACE} FOR UPDATE OF r SKIP LOCKED"
    )
    found = execute_values(cursor, query, _values(places), page_size=len(places), fetch=True)
    return [(Place(*row[:4]), row[4]) for row in found]


def load(cursor: extensions.cursor, places: Sequence[Place]) -> dict[Place, Row]:
    """Return the rows of places, in full."""
    names = _columns(None).as_string(cursor)
    query = f"SELECT {names} FROM {_JOINED}"  # noqa: S608
    found = execute_values(cursor, query, _values(places), page_size=len(places), fetch=True)
    return {row.place: row for row in map(_row, found)}


def mark(cursor: extensions.cursor, sent_to: Mapping[Place, str]) -> int:
    """Mark rows as replayed to a partition/offset; return how many were marked."""
    query = (
        "UPDATE rejected_events AS r SET replayed_at = clock_timestamp(), replayed_to = v.sent_to "
        "FROM (VALUES %s) AS v (topic, topic_id, partition, at, sent_to) "
        "WHERE r.topic = v.topic AND r.topic_id = v.topic_id AND r.partition = v.partition "
        'AND r."offset" = v.at AND r.replayed_at IS NULL RETURNING 1'
    )
    values = [(*_value(place), to) for place, to in sent_to.items()]
    if not values:
        return 0
    return len(execute_values(cursor, query, values, page_size=len(values), fetch=True))


def _columns(cut: int | None) -> sql.Composable:
    raw = sql.SQL("r.raw") if cut is None else sql.SQL(f"substring(r.raw FOR {cut:d})")
    return sql.SQL(f"{_PLACE}, {_ABOUT}, r.key, {{}}, coalesce(octet_length(r.raw), 0)").format(raw)


def _row(row: Sequence[Any]) -> Row:
    key, raw = (None if one is None else bytes(one) for one in row[10:12])
    values = [*row[4:10], key, raw, row[12]]
    return Row(Place(*row[:4]), *values)


def _value(place: Place) -> tuple[str, str | None, int, int]:
    return place.topic, place.topic_id, place.partition, place.offset


def _values(places: Sequence[Place]) -> list[tuple[str, str | None, int, int]]:
    return [_value(place) for place in places]


def _after(place: Place | None) -> dict[str, Any]:
    if place is None:
        return {}
    names = ("after_topic", "after_id", "after_partition", "after_offset")
    return dict(zip(names, _value(place), strict=True))
