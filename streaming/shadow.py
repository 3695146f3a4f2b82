"""Tables beside the live ones, counted anew and then put in their place in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from psycopg2 import extensions, sql

SCHEMA = "rebuild"
# What the sink reads and writes besides the tables that are to be rebuilt. Users queued for a new
# list did nothing new.
_BOOKS = ("stream_offsets", "ingest_audit", "rejected_events", "seen_events", "live_queue")


@dataclass(frozen=True, slots=True)
class Swapped:
    """How many rows of a table were not as counted anew, and how many it has now."""

    table: str
    removed: int
    added: int
    rows: int


def shadow_url(url: str) -> str:
    """Return the URL of the same database, whose connections see the shadow tables first."""
    options = quote(f"-csearch_path={SCHEMA},public")
    parts = urlsplit(url)
    query = "&".join(one for one in (parts.query, f"options={options}") if one)
    return parts._replace(query=query).geturl()


def create(cursor: extensions.cursor, tables: Sequence[str]) -> None:
    """Make empty tables like the live ones, in the place of what an earlier rebuild left."""
    drop(cursor)
    cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    for table in (*tables, *_BOOKS):
        cursor.execute(
            sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(_shadow(table), _live(table))
        )


def drop(cursor: extensions.cursor) -> None:
    """Drop the shadow tables."""
    cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))


def swap(cursor: extensions.cursor, table: str) -> Swapped:
    """Make a live table hold the rows of its shadow; rows that are equal are not touched.

    Readers see the old rows until the commit, the new ones after it, and never wait.
    """
    key = _primary_key(cursor, table)
    cursor.execute(sql.SQL("ANALYZE {}").format(_shadow(table)))
    cursor.execute(_removal(table, key))
    removed = cursor.rowcount
    cursor.execute(_addition(table, key))
    added = cursor.rowcount
    cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(_shadow(table)))
    return Swapped(table, removed, added, int(cursor.fetchall()[0][0]))


def _removal(table: str, key: Sequence[str]) -> sql.Composable:
    if not key:
        return sql.SQL("DELETE FROM {}").format(_live(table))
    return sql.SQL(
        "DELETE FROM {live} AS t WHERE NOT EXISTS (SELECT FROM {shadow} AS s "
        "WHERE {same} AND ROW(s.*) IS NOT DISTINCT FROM ROW(t.*))"
    ).format(live=_live(table), shadow=_shadow(table), same=_same(key))


def _addition(table: str, key: Sequence[str]) -> sql.Composable:
    if not key:
        return sql.SQL("INSERT INTO {} SELECT * FROM {}").format(_live(table), _shadow(table))
    return sql.SQL(
        "INSERT INTO {live} SELECT s.* FROM {shadow} AS s "
        "WHERE NOT EXISTS (SELECT FROM {live} AS t WHERE {same})"
    ).format(live=_live(table), shadow=_shadow(table), same=_same(key))


def _primary_key(cursor: extensions.cursor, table: str) -> list[str]:
    cursor.execute(
        "SELECT a.attname FROM pg_index AS i JOIN pg_attribute AS a "
        "ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) "
        "WHERE i.indisprimary AND i.indrelid = %s::regclass",
        (f"public.{table}",),
    )
    return [row[0] for row in cursor.fetchall()]


def _same(key: Sequence[str]) -> sql.Composable:
    return sql.SQL(" AND ").join(
        sql.SQL("s.{0} = t.{0}").format(sql.Identifier(name)) for name in key
    )


def _shadow(table: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, table)


def _live(table: str) -> sql.Identifier:
    return sql.Identifier("public", table)
