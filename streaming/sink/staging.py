"""Staging: deltas of every table leave Spark in one job, by COPY from the executors.

Each task attempt copies in a transaction of its own and tags its rows with its number. Spark
reports one attempt for each partition of a finished job; the merge reads those, so what a
failed, retried or speculative attempt left behind never counts.
"""

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import extensions, sql
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streaming.sink.merge import Staged, Target

SCHEMA = "staging"
_REPORT = "attempt long, rows long"
# PostgreSQL's CSV: a quote is doubled, NULL is nothing, an empty text is "".
_CSV_OPTIONS = {
    "escape": '"',
    "emptyValue": '""',
    "nullValue": "",
    "ignoreLeadingWhiteSpace": "false",
    "ignoreTrailingWhiteSpace": "false",
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "dateFormat": "yyyy-MM-dd",
}


class Staging:
    """The staging tables of one run of one stream."""

    def __init__(self, run: str, targets: Sequence[Target]) -> None:
        """Name the tables by the run: ``staging.<run>_<delta>``."""
        self._run = run
        self._targets = {target.name: target for target in targets}

    def create(self, cursor: extensions.cursor) -> None:
        """Drop what dead runs left, hold this run's name, make its tables."""
        drop_leftovers(cursor)
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", (self._run,))
        for target in self._targets.values():
            cursor.execute(
                sql.SQL(
                    "CREATE UNLOGGED TABLE {table} AS "
                    "SELECT {columns}, NULL::bigint AS attempt FROM {like} WITH NO DATA"
                ).format(
                    table=self._table(target.name),
                    columns=_names(target.columns),
                    like=sql.Identifier(target.like),
                )
            )
            cursor.execute(
                sql.SQL(
                    "ALTER TABLE {} ALTER COLUMN attempt "
                    "SET DEFAULT current_setting('encore.attempt')::bigint"
                ).format(self._table(target.name))
            )

    def drop(self, cursor: extensions.cursor) -> None:
        """Drop this run's tables."""
        for name in self._targets:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self._table(name)))

    def load(self, url: str, deltas: Mapping[str, DataFrame]) -> list[int]:
        """Copy the deltas in one Spark job; return the task attempts whose rows count."""
        lines = [_as_lines(name, self._ordered(name, delta)) for name, delta in deltas.items()]
        together = reduce(DataFrame.unionAll, lines)
        # A task is a Python worker and a connection: as many as run at once, not one a delta.
        cores = together.sparkSession.sparkContext.defaultParallelism
        together = together.coalesce(cores)
        reports = together.mapInArrow(self._copier(url), _REPORT).collect()
        return [report.attempt for report in reports]

    def merge(self, cursor: extensions.cursor, names: Sequence[str], attempts: list[int]) -> None:
        """Merge the staged rows of the attempts, then empty the tables."""
        winners = sql.Literal(attempts) + sql.SQL("::bigint[]")
        for name in names:
            staged = Staged(self._table(name), winners)
            for statement in self._targets[name].statements(staged):
                cursor.execute(statement)
        tables = sql.SQL(", ").join(self._table(name) for name in names)
        cursor.execute(sql.SQL("TRUNCATE {}").format(tables))

    def _ordered(self, name: str, delta: DataFrame) -> DataFrame:
        return delta.select(*self._targets[name].columns)

    def _table(self, name: str) -> sql.Identifier:
        return sql.Identifier(SCHEMA, f"{self._run}_{name}")

    def _copier(self, url: str) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
        tables = {
            name: (f"{self._run}_{name}", tuple(target.columns))
            for name, target in self._targets.items()
        }

        def copy(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield from _copy_batches(url, tables, batches)

        return copy


def drop_leftovers(cursor: extensions.cursor) -> None:
    """Drop the staging tables of runs that no longer hold their name."""
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (SCHEMA,))
    for (table,) in cursor.fetchall():
        run = table.split("_", 1)[0]
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (run,))
        if cursor.fetchall()[0][0]:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, table)))
            cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", (run,))


def _as_lines(name: str, delta: DataFrame) -> DataFrame:
    line = F.to_csv(F.struct(*delta.columns), _CSV_OPTIONS)
    return delta.select(F.lit(name).alias("delta"), line.alias("line"))


def _copy_batches(
    url: str,
    tables: Mapping[str, tuple[str, Sequence[str]]],
    batches: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Copy all lines of a task in one transaction; report its attempt and how many there were."""
    first = next(batches, None)
    if first is None:
        return
    context = TaskContext.get()
    attempt = context.taskAttemptId() if context else os.getpid()
    connection = psycopg2.connect(url, application_name="encore-staging")
    rows = 0
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('encore.attempt', %s, false)", (str(attempt),))
            for batch in _chain(first, batches):
                rows += _copy_batch(cursor, tables, batch)
    finally:
        connection.close()
    yield pa.RecordBatch.from_pydict({"attempt": [attempt], "rows": [rows]})


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _copy_batch(
    cursor: extensions.cursor,
    tables: Mapping[str, tuple[str, Sequence[str]]],
    batch: pa.RecordBatch,
) -> int:
    for name in pc.unique(batch.column("delta")).to_pylist():
        lines = batch.filter(pc.equal(batch.column("delta"), name)).column("line")
        table, columns = tables[name]
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
            sql.Identifier(SCHEMA, table), _names(columns)
        )
        cursor.copy_expert(statement, io.StringIO("\n".join(lines.to_pylist()) + "\n"))
    return int(batch.num_rows)


def _names(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)
