"""Tables out of PostgreSQL into files that Spark reads: COPY, then Parquet, a block at a time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from psycopg2 import extensions, sql
from sqlalchemy import BigInteger, Date, DateTime, Double, Integer, LargeBinary, SmallInteger, Text

from database.schema import METADATA

_BLOCK_BYTES = 8 * 1024 * 1024  # holds the longest row by far: a text has 512 characters at most
_LISTED = {"user_id": "user_ids"}  # a column that stands as a list in the table
_ARROW: dict[type, pa.DataType] = {
    Text: pa.string(),
    BigInteger: pa.int64(),
    Integer: pa.int32(),
    SmallInteger: pa.int16(),
    Double: pa.float64(),
    DateTime: pa.timestamp("us", tz="UTC"),
    Date: pa.date32(),
    LargeBinary: pa.string(),
}


def export_table(
    cursor: extensions.cursor, table: str, columns: Sequence[str], folder: Path
) -> Path:
    """Write columns of a table as the cursor's transaction sees them; return the file.

    Bytes leave as their SHA-256 in hexadecimal digits: equal where they are, and never large.
    """
    rows, file = folder / f"{table}.csv", folder / f"{table}.parquet"
    stored = METADATA.tables[table].columns
    listed = {name: one for name, one in _LISTED.items() if one in stored}
    types = {name: Text() if name in listed else stored[name].type for name in columns}
    chosen = sql.SQL(", ").join(_expression(name, kind, listed) for name, kind in types.items())
    # A list may name somebody again who stands in another batch's list.
    once = sql.SQL("DISTINCT" if listed else "")
    query = sql.SQL("COPY (SELECT {} {} FROM {}) TO STDOUT (FORMAT csv)").format(
        once, chosen, sql.Identifier(table)
    )
    with rows.open("wb") as out:
        cursor.copy_expert(query, out)
    schema = pa.schema([(name, _ARROW[type(kind)]) for name, kind in types.items()])
    _to_parquet(rows, schema, file)
    rows.unlink()
    return file


def _expression(name: str, kind: Any, listed: Mapping[str, str]) -> sql.Composable:
    column = sql.Identifier(name)
    if name in listed:
        return sql.SQL("unnest({})").format(sql.Identifier(listed[name]))
    if isinstance(kind, LargeBinary):
        return sql.SQL("encode(sha256({}), 'hex')").format(column)
    return column


def _to_parquet(rows: Path, schema: pa.Schema, file: Path) -> None:
    with pq.ParquetWriter(file, schema, compression="lz4") as writer:
        if rows.stat().st_size == 0:
            return
        # In PostgreSQL's CSV an empty text has quotes and NULL has none.
        batches = pacsv.open_csv(
            rows,
            read_options=pacsv.ReadOptions(column_names=schema.names, block_size=_BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in batches:
            writer.write_batch(batch)
