"""Holding what is in PostgreSQL against what must be there, row by row."""

import math
from collections.abc import Mapping
from typing import Any

from psycopg2 import extensions, sql

from tests.oracle import Expected, Table

KEYS = {
    "item_counts_5m": ("item_id", "bucket_start"),
    "item_counts_hour": ("item_id", "bucket_start"),
    "item_counts_day": ("item_id", "bucket_start"),
    "item_listeners": ("item_id", "bucket_start", "user_id"),
    "item_trends": ("country", "item_id"),
    "user_counts_day": ("user_id", "day"),
    "user_item_affinity": ("user_id", "item_id"),
    "session_counts": ("user_id", "session_id"),
    "platform_activity_minute": ("minute", "event_type", "country", "device", "level"),
    "minute_users": ("minute", "user_id"),
    "recommendation_outcomes": ("hour", "model_run_id", "variant", "source", "position"),
}
DERIVED = {"heat"}  # checked by a test of its own
LISTS = {
    "item_listeners": "SELECT DISTINCT item_id, bucket_start, unnest(user_ids) AS user_id "
    "FROM item_listeners",
    "minute_users": "SELECT DISTINCT minute, unnest(user_ids) AS user_id FROM minute_users",
}


def read_table(cursor: extensions.cursor, name: str, key: tuple[str, ...]) -> Table:
    """Return a table by its key."""
    cursor.execute(LISTS.get(name) or sql.SQL("SELECT * FROM {}").format(sql.Identifier(name)))
    names = [column.name for column in cursor.description or ()]
    table: Table = {}
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        mark = tuple(row.pop(one) for one in key)
        assert mark not in table
        table[mark] = row
    return table


def differences(cursor: extensions.cursor, expected: Expected) -> dict[str, list[str]]:
    """Return, for each feature table, what is missing, too much or other; nothing where equal."""
    return {
        name: found
        for name, key in KEYS.items()
        if (found := compare(expected.tables[name], read_table(cursor, name, key)))
    }


def compare(expected: Table, actual: Table) -> list[str]:
    """List the differences of two tables, in words."""
    missing = [f"missing {key}: {expected[key]}" for key in expected.keys() - actual.keys()]
    extra = [f"extra {key}: {actual[key]}" for key in actual.keys() - expected.keys()]
    other = [
        f"other {key}: expected {expected[key]}, is {actual[key]}"
        for key in expected.keys() & actual.keys()
        if not same_row(expected[key], actual[key])
    ]
    return missing + extra + other


def same_row(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
    """Tell whether rows are equal; sums of powers may differ in the last digits."""
    names = actual.keys() - DERIVED
    return names == expected.keys() and all(same(expected[name], actual[name]) for name in names)


def same(expected: Any, actual: Any) -> bool:
    """Tell whether values are equal, floating-point ones to nine digits."""
    if isinstance(expected, float) and isinstance(actual, float):
        return math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-9)
    return bool(expected == actual)


def accounts(cursor: extensions.cursor, topic: str) -> dict[int, dict[str, int]]:
    """Return accepted, late, duplicate and rejected of each partition that has any record."""
    cursor.execute(
        "SELECT partition, accepted, late, duplicate, rejected FROM stream_offsets "
        "WHERE topic = %s AND next_offset > first_offset",
        (topic,),
    )
    names = ("accepted", "late", "duplicate", "rejected")
    return {part: dict(zip(names, rest, strict=True)) for part, *rest in cursor.fetchall()}


def rejected(
    cursor: extensions.cursor, topic: str
) -> dict[tuple[int, int], tuple[str, str | None, bytes | None]]:
    """Return reason, field and bytes of every rejected record, by its place."""
    cursor.execute(
        'SELECT partition, "offset", reason, field, raw FROM rejected_events WHERE topic = %s',
        (topic,),
    )
    return {
        (part, offset): (reason, name, None if raw is None else bytes(raw))
        for part, offset, reason, name, raw in cursor.fetchall()
    }
