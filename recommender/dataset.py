"""What users gave items, read in one snapshot of the database and numbered for the model.

A *pair* is one row of ``user_item_affinity``. It is *known* whatever it holds, *disliked* when
its dislikes outnumber the likes that stand, and *positive* when its signal is above zero and it
is not disliked. The model trains on positive pairs; known pairs are never recommended.

What a pair *weighs* is written here once, as SQL, for training, evaluation and folding in:

``weight``
    its signal, decayed to ``now_s``, the newest event that is not in the future; 0 if not positive.
``past``
    what it weighs as far as the moment of the split knows; NULL if it began later. The table holds
    a running sum, not its history, so of a pair that began before and went on after it only the
    beginning is certain: it weighs no more than one complete play at its first event. What cannot
    be taken back is that it counts as positive (or disliked) as of now.
``relevant``
    it is positive and began after the split: what a model is tested on.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

import psycopg2.extensions
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from pyspark import Broadcast
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from database.engine import connect
from encore.errors import EncoreError
from recommender.arrow_copy import copy_out
from recommender.pairs import POSITIVE, decayed, weight_as_of

PAIR_SCHEMA: Final = "user_id string, item int, weight float, past float, relevant boolean"
READ_SCHEMA: Final = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("weight", pa.float64()),  # PostgreSQL refuses to make a tiny one a real
        ("past", pa.float64()),
        ("relevant", pa.bool_()),
    ]
)
_Read = TypeVar("_Read")
_INDEX_BITS: Final = 33  # monotonically_increasing_id: the row within its partition
_MAX_INDEX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Summary:
    """How much there is to learn from, and the moments that bound it.

    Signals are decayed to ``now_s``, the newest event that is not in the future; ``split_s`` is
    the last moment of the training part. Both in seconds since 1970. ``fingerprint`` is the same
    for the same positive pairs, whatever order they lie in.
    """

    positive: int
    users: int
    items: int
    data_from: datetime | None
    data_to: datetime | None
    now_s: float
    split_s: float
    half_life_s: float
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What a snapshot shows, to whoever knows its name, for as long as it is held."""

    url: str = field(repr=False)
    name: str

    @contextmanager
    def open(self) -> Iterator[psycopg2.extensions.cursor]:
        """Have it on a connection of one's own."""
        with _one_view(self.url) as cursor:
            cursor.execute("SET TRANSACTION SNAPSHOT %s", (self.name,))
            yield cursor


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open transaction, and its view of the database for others."""

    view: View
    cursor: psycopg2.extensions.cursor

    @property
    def url(self) -> str:
        """Return where the database is."""
        return self.view.url

    @contextmanager
    def meanwhile(
        self, read: Callable[[psycopg2.extensions.cursor], _Read]
    ) -> "Iterator[Future[_Read]]":
        """Read something of the same view while the block goes on; it ends when both have."""

        def ask() -> _Read:
            with self.view.open() as cursor:
                return read(cursor)

        with ThreadPoolExecutor(1) as thread:
            yield thread.submit(ask)


@contextmanager
def open_snapshot(url: str) -> Iterator[Snapshot]:
    """Hold one view of the database, so that everything read through it belongs together."""
    with _one_view(url) as cursor:
        cursor.execute("SELECT pg_export_snapshot()")
        yield Snapshot(View(url, _row(cursor)[0]), cursor)


@contextmanager
def _one_view(url: str) -> Iterator[psycopg2.extensions.cursor]:
    connection = connect(url, application_name="encore train")
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def summarize(cursor: psycopg2.extensions.cursor, test_share: float, half_life_d: float) -> Summary:
    """Count the positive pairs and find the moment after which the newest share of them began.

    ``half_life_d`` in days is taken where the database does not say its own.

    Raises:
        EncoreError: a signal is NaN or infinite.
    """
    cursor.execute(
        sql.SQL(
            # Counted by hashing in parallel: count(DISTINCT) would sort all ids by their collation.
            "SELECT count(*), (SELECT count(*) FROM ({users}) AS u),"
            " (SELECT count(*) FROM ({items}) AS i), min(a.first_at), max(a.last_at),"
            " coalesce(extract(epoch FROM least(max(a.last_at), now())), 0)::float8,"
            " coalesce(extract(epoch FROM percentile_disc(%s) WITHIN GROUP (ORDER BY a.first_at)),"
            " 0)::float8,"
            " coalesce(feature_setting('feature_affinity_half_life_days'), %s) * 86400,"
            " to_hex(coalesce(bit_xor(hash_record_extended("
            "ROW(a.user_id, a.item_id, a.signal, a.first_at, a.last_at), 0)), 0)),"
            # NaN is the greatest of all numbers to PostgreSQL.
            " count(*) FILTER (WHERE a.signal >= 'Infinity'),"
            " min(a.user_id || ', ' || a.item_id) FILTER (WHERE a.signal >= 'Infinity')"
            " FROM user_item_affinity AS a WHERE {positive}"
        ).format(
            positive=POSITIVE,
            users=_distinct("user_id"),
            items=_distinct("item_id"),
        ),
        (1 - test_share, half_life_d),
    )
    *found, broken, example = _row(cursor)
    if broken:
        raise EncoreError(
            f"user_item_affinity holds {broken} signals that are no finite numbers, such as that "
            f"of {example}. `encore rebuild --table user_item_affinity` counts them anew."
        )
    return Summary(*found)


def _distinct(column: str) -> sql.Composed:
    return sql.SQL("SELECT FROM user_item_affinity AS a WHERE {} GROUP BY a.{}").format(
        POSITIVE, sql.Identifier(column)
    )


def pair_columns(summary: Summary) -> sql.Composed:
    """Return the columns of ``READ_SCHEMA`` as SQL over ``user_item_affinity AS a``."""
    now, split = (
        sql.SQL("to_timestamp({})").format(sql.Literal(moment))
        for moment in (summary.now_s, summary.split_s)
    )
    return sql.SQL(
        "a.user_id, a.item_id, {weight} AS weight,"
        " CASE WHEN a.first_at > {split} THEN NULL"
        " WHEN a.last_at > {split} AND {positive} THEN least(a.signal, {one_play})"
        " ELSE {past} END::float8 AS past,"
        " {positive} AND a.first_at > {split} AS relevant"
    ).format(
        weight=weight_as_of(now, summary.half_life_s),
        past=weight_as_of(split, summary.half_life_s),
        one_play=decayed("1.0", "a.first_at", split, summary.half_life_s),
        positive=POSITIVE,
        split=split,
    )


def read_pairs(
    spark: SparkSession,
    snapshot: Snapshot,
    columns: sql.Composed,
    ids: Broadcast[list[str]],
    partitions: int,
) -> DataFrame:
    """Return every pair by ``PAIR_SCHEMA``; an item that is not among the ids has index -1.

    Each task reads its own range of the table's pages with COPY, in the driver's snapshot. The
    URL travels with the task's code, never in a plan or a configuration.
    """
    ranges = page_ranges(snapshot.cursor, partitions)
    view = snapshot.view

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        named = pa.array(ids.value, pa.string())
        for batch in batches:
            for part in batch.column("id").to_pylist():
                for rows in read_pages(view, columns, ranges[part]):
                    yield _with_index(rows, named)

    return spark.range(0, partitions, 1, partitions).mapInArrow(read, PAIR_SCHEMA)


def number_users(pairs: DataFrame) -> DataFrame:
    """Return one row a user: user_id, user (a number from 0), pairs (their pairs by item).

    The same pairs give the same numbers. Pairs are read once and kept for as long as Spark runs.

    Raises:
        ValueError: there are more users than MLlib's 32-bit ids.
    """
    fields = [F.col(name) for name in ("item", "weight", "past", "relevant")]
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


def page_ranges(cursor: psycopg2.extensions.cursor, parts: int) -> list[tuple[int, int]]:
    """Divide the pages of the table into ranges: first page, page after the last."""
    cursor.execute(
        "SELECT pg_relation_size('user_item_affinity') / current_setting('block_size')::bigint"
    )
    size = int(_row(cursor)[0]) // parts + 1
    return [(part * size, (part + 1) * size) for part in range(parts)]


def read_pages(
    view: View, columns: sql.Composed, pages: tuple[int, int]
) -> Iterator[pa.RecordBatch]:
    """Yield the pairs on a range of pages by ``READ_SCHEMA``, on a connection of its own."""
    start, end = (sql.Literal(f"({page},0)") for page in pages)
    query = sql.SQL(
        "SELECT {columns} FROM user_item_affinity AS a"
        " WHERE a.ctid >= {start}::tid AND a.ctid < {end}::tid"
    ).format(columns=columns, start=start, end=end)
    with view.open() as cursor:
        yield from copy_out(cursor, query, READ_SCHEMA)


def _with_index(rows: pa.RecordBatch, ids: pa.Array) -> pa.RecordBatch:
    index = pc.fill_null(pc.index_in(rows.column("item_id"), value_set=ids), -1)
    columns = [rows.column("user_id"), index.cast(pa.int32())]
    columns += [rows.column(name).cast(pa.float32()) for name in ("weight", "past")]
    columns += [rows.column("relevant")]
    return pa.RecordBatch.from_arrays(
        columns, names=["user_id", "item", "weight", "past", "relevant"]
    )


def _row(cursor: psycopg2.extensions.cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the database returned no row")
    return row
