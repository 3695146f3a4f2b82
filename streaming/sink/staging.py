"""Staging: what the tasks of a micro-batch found, copied to PostgreSQL by the executors.

Each task attempt copies in a transaction of its own and tags its rows with its number. Spark
reports one attempt for each partition of a finished job; the merge reads those, so what a
failed, retried or speculative attempt left behind never counts.
"""

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg2 import extensions, sql

from database.engine import TRANSIENT, connect
from encore.errors import ServiceUnavailableError
from streaming.sink.merge import Staged, Target

SCHEMA = "staging"


class DatabaseAwayError(Exception):
    """A task could not reach PostgreSQL, or was refused for a reason that may pass."""


@dataclass(frozen=True)
class StagingArea:
    """Where the tasks of a run copy to: it travels to the executors."""

    url: str = field(repr=False)
    run: str
    columns: Mapping[str, Sequence[str]]

    def table(self, name: str) -> sql.Identifier:
        """Return the staging table of a delta."""
        return sql.Identifier(SCHEMA, f"{self.run}_{name}")

    @contextmanager
    def writer(self, attempt: int) -> Iterator["StagingWriter"]:
        """Open a transaction that copies rows tagged with a task attempt.

        Raises:
            DatabaseAwayError: PostgreSQL cannot be reached, or refuses for now.
        """
        try:
            connection = _borrow(self.url)
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT set_config('encore.attempt', %s, true)", (str(attempt),))
                yield StagingWriter(self, cursor)
        except (*TRANSIENT, ServiceUnavailableError) as error:
            _give_up(self.url)
            raise DatabaseAwayError(str(error).strip()) from None


class StagingWriter:
    """Copies rows into the staging tables of a run, in one transaction."""

    def __init__(self, area: StagingArea, cursor: extensions.cursor) -> None:
        """Take the area and the cursor of the open transaction."""
        self._area = area
        self.cursor = cursor

    def copy(self, name: str, rows: pa.Table) -> None:
        """Copy the rows of one delta, whose columns are those of its target, types alike.

        PostgreSQL checks the size of each value and nothing else, so an integer column of the
        table is a ``pa.int64`` here if it is a bigint, and a ``pa.int16`` if it is a smallint.
        """
        if not rows.num_rows:
            return
        columns = self._area.columns[name]
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            self._area.table(name), _names(columns)
        )
        self.cursor.copy_expert(statement, io.BytesIO(_encoded(rows.select(list(columns)))))


class Staging:
    """The staging tables of one run of one stream, as the driver sees them."""

    def __init__(self, url: str, run: str, targets: Sequence[Target]) -> None:
        """Name the tables by the run: ``staging.<run>_<delta>``."""
        self._run = run
        self._targets = {target.name: target for target in targets}
        self.area = StagingArea(
            url, run, {name: tuple(target.columns) for name, target in self._targets.items()}
        )

    def create(self, cursor: extensions.cursor) -> None:
        """Hold this run's name, make its tables."""
        self.hold_name(cursor)
        for target in self._targets.values():
            self._create(cursor, target)

    def hold_name(self, cursor: extensions.cursor) -> None:
        """Hold this run's name for as long as the connection lives."""
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", (self._run,))

    def drop(self, cursor: extensions.cursor) -> None:
        """Drop this run's tables."""
        for name in self._targets:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.area.table(name)))

    def merge(self, cursor: extensions.cursor, attempts: Sequence[int]) -> None:
        """Merge the staged rows of the attempts."""
        for name, target in self._targets.items():
            target.merge(cursor, Staged(self.area.table(name), attempts))

    def empty(self, cursor: extensions.cursor) -> None:
        """Delete every staged row, and give back its room."""
        tables = sql.SQL(", ").join(self.area.table(name) for name in self._targets)
        cursor.execute(sql.SQL("TRUNCATE {}").format(tables))

    def _create(self, cursor: extensions.cursor, target: Target) -> None:
        table = self.area.table(target.name)
        stored = [name for name in target.columns if name not in target.extra]
        extra = [
            sql.SQL(", NULL::{} AS {}").format(sql.SQL(kind), sql.Identifier(name))
            for name, kind in target.extra.items()
        ]
        cursor.execute(
            sql.SQL(
                # Vacuum would hold it just when it is to be emptied, for nothing.
                "CREATE UNLOGGED TABLE IF NOT EXISTS {table} "
                "WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false) AS "
                "SELECT {columns}{extra}, NULL::bigint AS attempt FROM {like} WITH NO DATA"
            ).format(
                table=table,
                columns=_names(stored),
                extra=sql.Composed(extra),
                like=sql.Identifier(target.like),
            )
        )
        cursor.execute(
            sql.SQL(
                "ALTER TABLE {} ALTER COLUMN attempt "
                "SET DEFAULT current_setting('encore.attempt')::bigint"
            ).format(table)
        )


def drop_leftovers(cursor: extensions.cursor, keep: Collection[str]) -> None:
    """Drop the staging tables of runs that no longer hold their name, but for those to keep."""
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (SCHEMA,))
    for (table,) in cursor.fetchall():
        run = table.split("_", 1)[0]
        if run in keep:
            continue
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (run,))
        if cursor.fetchall()[0][0]:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, table)))
            cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", (run,))


def _encoded(rows: pa.Table) -> bytes:
    """Return rows in the binary format of COPY: a tenth of the time that text takes."""
    encoder = ArrowToPostgresBinaryEncoder(rows.schema)
    parts = [encoder.write_header(), *map(encoder.write_batch, rows.to_batches())]
    return b"".join([*parts, encoder.finish()])


# A Python worker serves task after task: one connection each, instead of one a task.
_connections: dict[str, Any] = {}


def _borrow(url: str) -> Any:
    connection = _connections.get(url)
    if connection is not None and _answers(connection):
        return connection
    _connections[url] = connect(url, application_name="encore-staging")
    return _connections[url]


def _answers(connection: Any) -> bool:
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except TRANSIENT:
        return False
    return True


def _give_up(url: str) -> None:
    connection = _connections.pop(url, None)
    if connection is not None:
        connection.close()


def _names(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)
