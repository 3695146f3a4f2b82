"""What users gave items, read in one snapshot of the database and numbered for the model.

A *pair* is one row of ``user_item_affinity``. It is *known* whatever it holds, *disliked* when
its dislikes outnumber the likes that stand, and *positive* when its signal is above zero and it
is not disliked. The model trains on positive pairs; known pairs are never recommended.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg2.extensions
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from pyspark import Broadcast
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from database.engine import connect
from recommender.arrow_copy import copy_out

# One definition of a pair's kind, for the summary, the items and the pairs alike.
DISLIKED: Final = sql.SQL("(a.dislikes > greatest(a.likes - a.unlikes, 0))")
POSITIVE: Final = sql.SQL("(a.signal > 0 AND NOT {})").format(DISLIKED)

PAIR_SCHEMA: Final = (
    "user_id string, item int, signal double, disliked boolean, first_s double, last_s double"
)
_READ_SCHEMA: Final = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("signal", pa.float64()),
        ("disliked", pa.bool_()),
        ("first_s", pa.float64()),
        ("last_s", pa.float64()),
    ]
)
_INDEX_BITS: Final = 33  # monotonically_increasing_id: the row within its partition
_MAX_INDEX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Summary:
    """How much there is to learn from, and the moments that bound it.

    Signals are decayed to ``now_s``, the newest event that is not in the future; ``split_s`` is
    the last moment of the training part. Both in seconds since 1970.
    """

    positive: int
    users: int
    items: int
    data_from: datetime | None
    data_to: datetime | None
    now_s: float
    split_s: float
    half_life_s: float


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The items of the model: position in ``ids`` is the item's index."""

    ids: list[str]
    titles: list[str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open transaction whose view of the database others can share by its name."""

    url: str
    name: str
    cursor: psycopg2.extensions.cursor


@contextmanager
def open_snapshot(url: str) -> Iterator[Snapshot]:
    """Hold one view of the database, so that everything read through it belongs together."""
    connection = connect(url, application_name="encore train")
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            yield Snapshot(url, _row(cursor)[0], cursor)
    finally:
        connection.close()


def summarize(cursor: psycopg2.extensions.cursor, test_share: float, half_life_d: float) -> Summary:
    """Count the positive pairs and find the moment after which the newest share of them began.

    ``half_life_d`` in days is taken where the database does not say its own.
    """
    cursor.execute(
        sql.SQL(
            "SELECT count(*), count(DISTINCT a.user_id), count(DISTINCT a.item_id),"
            " min(a.first_at), max(a.last_at),"
            " coalesce(extract(epoch FROM least(max(a.last_at), now())), 0)::float8,"
            " coalesce(extract(epoch FROM percentile_disc(%s) WITHIN GROUP (ORDER BY a.first_at)),"
            " 0)::float8,"
            " coalesce(feature_setting('feature_affinity_half_life_days'), %s) * 86400"
            " FROM user_item_affinity AS a WHERE {}"
        ).format(POSITIVE),
        (1 - test_share, half_life_d),
    )
    return Summary(*_row(cursor))


def read_catalogue(cursor: psycopg2.extensions.cursor) -> Catalogue:
    """Return the items with a positive pair, in the order of their ids, with their titles.

    An item that the catalogue does not know yet goes by its id.
    """
    cursor.execute(
        sql.SQL(
            "SELECT a.item_id, coalesce(i.title, a.item_id)"
            " FROM (SELECT DISTINCT a.item_id FROM user_item_affinity AS a WHERE {}) AS a"
            ' LEFT JOIN items AS i USING (item_id) ORDER BY a.item_id COLLATE "C"'
        ).format(POSITIVE)
    )
    rows = cursor.fetchall()
    return Catalogue([row[0] for row in rows], [row[1] for row in rows])


def read_pairs(
    spark: SparkSession, snapshot: Snapshot, catalogue: Broadcast[Catalogue], partitions: int
) -> DataFrame:
    """Return every pair by ``PAIR_SCHEMA``; an item without a positive pair has index -1.

    Each task reads its own range of the table's pages with COPY, in the driver's snapshot. The
    URL travels with the task's code, never in a plan or a configuration.
    """
    pages = _table_pages(snapshot.cursor)
    size = pages // partitions + 1
    url, name = snapshot.url, snapshot.name

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        ids = pa.array(catalogue.value.ids, pa.string())
        for batch in batches:
            for part in batch.column("id").to_pylist():
                for rows in _read_pages(url, name, part * size, (part + 1) * size):
                    yield _with_index(rows, ids)

    return spark.range(0, partitions, 1, partitions).mapInArrow(read, PAIR_SCHEMA)


def number_users(pairs: DataFrame) -> DataFrame:
    """Return one row a user: user_id, user (a number from 0), pairs (their pairs by item).

    The same pairs give the same numbers. Pairs are read once and kept for as long as Spark runs.

    Raises:
        ValueError: there are more users than MLlib's 32-bit ids.
    """
    fields = [F.col(name) for name in ("item", "signal", "disliked", "first_s", "last_s")]
    grouped = (
        pairs.groupBy("user_id")
        .agg(F.array_sort(F.collect_list(F.struct(*fields))).alias("pairs"))
        .sortWithinPartitions("user_id")
        .persist()
    )
    sizes = {
        row["part"]: row["count"]
        for row in grouped.groupBy(F.spark_partition_id().alias("part")).count().collect()
    }
    if sum(sizes.values()) > _MAX_INDEX:
        raise ValueError(f"{sum(sizes.values())} users are more than MLlib can number")
    return grouped.select(
        "user_id", (_first_number(sizes) + _row_in_partition()).cast("int").alias("user"), "pairs"
    )


def _first_number(sizes: dict[int, int]) -> Column:
    starts = [sum(sizes.get(before, 0) for before in range(part)) for part in range(max(sizes) + 1)]
    return F.element_at(F.array(*map(F.lit, starts)), F.spark_partition_id() + 1)


def _row_in_partition() -> Column:
    return F.monotonically_increasing_id().bitwiseAND(F.lit(2**_INDEX_BITS - 1))


def _table_pages(cursor: psycopg2.extensions.cursor) -> int:
    cursor.execute(
        "SELECT pg_relation_size('user_item_affinity') / current_setting('block_size')::bigint"
    )
    return int(_row(cursor)[0])


def _read_pages(url: str, snapshot: str, start: int, end: int) -> Iterator[pa.RecordBatch]:
    connection = connect(url, application_name="encore train")
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))
            yield from copy_out(cursor, _pages_query(start, end), _READ_SCHEMA)
    finally:
        connection.close()


def _pages_query(start: int, end: int) -> sql.Composed:
    return sql.SQL(
        "SELECT a.user_id, a.item_id, a.signal, {disliked},"
        " extract(epoch FROM a.first_at)::float8, extract(epoch FROM a.last_at)::float8"
        " FROM user_item_affinity AS a"
        " WHERE a.ctid >= {start}::tid AND a.ctid < {end}::tid"
    ).format(disliked=DISLIKED, start=sql.Literal(f"({start},0)"), end=sql.Literal(f"({end},0)"))


def _with_index(rows: pa.RecordBatch, ids: pa.Array) -> pa.RecordBatch:
    index = pc.fill_null(pc.index_in(rows.column("item_id"), value_set=ids), -1)
    columns = [rows.column("user_id"), index.cast(pa.int32())]
    columns += [rows.column(name) for name in ("signal", "disliked", "first_s", "last_s")]
    return pa.RecordBatch.from_arrays(
        columns, names=["user_id", "item", "signal", "disliked", "first_s", "last_s"]
    )


def _row(cursor: psycopg2.extensions.cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the database returned no row")
    return row
