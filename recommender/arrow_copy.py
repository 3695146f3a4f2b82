"""Rows between PostgreSQL and Arrow by COPY, on whichever machine calls."""

import io
import tempfile
from collections.abc import Iterator
from typing import Any

import psycopg2.extensions
import pyarrow as pa
import pyarrow.csv as pacsv
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg2 import sql

MEMORY_BYTES = 64 * 1024 * 1024  # beyond it, rows on their way wait on disk


def copy_out(
    cursor: psycopg2.extensions.cursor, query: sql.Composable, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield what a query returns, in the columns and types of the schema, by position."""
    with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES) as rows:
        yield from _copy_out(cursor, query, schema, rows)


def read_table(
    cursor: psycopg2.extensions.cursor, query: sql.Composable, schema: pa.Schema
) -> pa.Table:
    """Return what a query returns at once, where it is known to fit into memory.

    A plain buffer takes up rows faster than one that may go to disk.
    """
    return pa.Table.from_batches(list(_copy_out(cursor, query, schema, io.BytesIO())), schema)


def _copy_out(
    cursor: psycopg2.extensions.cursor, query: sql.Composable, schema: pa.Schema, rows: Any
) -> Iterator[pa.RecordBatch]:
    cursor.copy_expert(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query), rows)
    if rows.tell() == 0:
        return
    rows.seek(0)
    yield from pacsv.open_csv(
        rows,
        read_options=pacsv.ReadOptions(column_names=schema.names),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=schema, true_values=["t"], false_values=["f"]
        ),
    )


def copy_in(
    cursor: psycopg2.extensions.cursor, table: sql.Identifier, batch: pa.RecordBatch
) -> None:
    """Append a batch to the columns of a table that have its names, whose types are alike.

    Binary takes a fraction of the time of text on both sides. PostgreSQL checks no more than the
    size of a value, so a ``pa.int64`` is for a bigint, a ``pa.int16`` for a smallint.
    """
    encoder = ArrowToPostgresBinaryEncoder(batch.schema)
    parts = [encoder.write_header(), encoder.write_batch(batch), encoder.finish()]
    columns = sql.SQL(", ").join(map(sql.Identifier, batch.schema.names))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, columns)
    cursor.copy_expert(statement, io.BytesIO(b"".join(parts)))
