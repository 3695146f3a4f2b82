"""What a batch costs when it, or the tables, grow; and what the merge costs beside raw COPY."""

import io
import statistics
import time
from collections.abc import Sequence

import numpy as np
from psycopg2 import sql

from benchmarks.backlog import Bench, empty_tables, evening, fill_topic, whole_job
from benchmarks.measure import Figure, compare
from database.engine import transaction
from encore.events import Topics
from encore.settings import load_settings
from streaming.features.catalogue import HalfLives, feature_targets

_SIZES = (25_000, 50_000, 100_000, 200_000)


def bench_growth(bench: Bench, backlog: Topics, repeats: int = 3) -> list[Figure]:
    """Measure a batch on tables that 10,000 and that 1,000,000 events made.

    ``backlog`` is the topic with the 1,000,000.
    """
    few = fill_topic(bench, "bench-small-tables", evening(10_000, seed=8))
    batch = fill_topic(bench, "bench-batch", evening(100_000, seed=9))
    small: list[float] = []
    large: list[float] = []
    for _ in range(repeats):
        for tables, speeds in ((few, small), (backlog, large)):
            empty_tables(bench)
            whole_job(bench, tables, 500_000, keep=True)
            speeds.append(100_000 / whole_job(bench, batch, 500_000, keep=True))
    return [
        compare(
            "100 times larger tables",
            "the same batch on small tables",
            large,
            small,
            unit="events/s",
            target=">= 0.8",
        )
    ]


def bench_straight_line(bench: Bench, backlog: Topics) -> list[Figure]:
    """Measure the time of batches of several sizes, and how straight a line they lie on."""
    measured = []
    for size in _SIZES:
        whole_job(bench, backlog, size)
        measured.append(_median_batch(bench, size))
    seconds = np.asarray(measured)
    fit = np.polyfit(_SIZES, seconds, 1)
    rest = seconds - np.polyval(fit, _SIZES)
    straight = 1 - float(np.sum(rest**2) / np.sum((seconds - seconds.mean()) ** 2))
    return [
        Figure(
            "batch time over events",
            f"a straight line (R2) through {_in_words(measured)}",
            "us/event",
            float(fit[0]) * 1e6,
            1.0,
            straight,
            [straight],
            ">= 0.95",
        )
    ]


def bench_sink(bench: Bench, backlog: Topics) -> list[Figure]:
    """Measure the merge of one batch into empty tables against raw COPY of the same rows."""
    whole_job(bench, backlog, 1_000_000)
    names = [target.name for target in feature_targets(HalfLives.of(load_settings()))]
    with transaction(bench.database) as cursor:
        cursor.execute(
            "SELECT (phases ->> 'merge')::float8 / 1000 FROM ingest_audit ORDER BY batch LIMIT 1"
        )
        merge = float(cursor.fetchall()[0][0])
        rows, copy = 0, 0.0
        for name in names:
            table, bare = sql.Identifier(name), sql.Identifier(f"bare_{name}")
            text = io.StringIO()
            cursor.copy_expert(sql.SQL("COPY {} TO STDOUT").format(table), text)
            cursor.execute(sql.SQL("CREATE TEMP TABLE {} (LIKE {})").format(bare, table))
            text.seek(0)
            began = time.perf_counter()
            cursor.copy_expert(sql.SQL("COPY {} FROM STDIN").format(bare), text)
            copy += time.perf_counter() - began
            rows += cursor.rowcount
    return [
        Figure(
            "merge",
            "raw COPY of the same rows into empty tables without an index",
            "rows/s",
            rows / merge,
            rows / copy,
            copy / merge,
            [copy / merge],
        )
    ]


def _median_batch(bench: Bench, size: int) -> float:
    with transaction(bench.database) as cursor:
        cursor.execute(
            "SELECT (SELECT sum(value::float8) FROM jsonb_each_text(phases)) / 1000 "
            "FROM ingest_audit WHERE read BETWEEN %s AND %s",
            (size * 0.9, size * 1.1),
        )
        return float(statistics.median(row[0] for row in cursor.fetchall()))


def _in_words(seconds: Sequence[float]) -> str:
    return ", ".join(f"{one:.2f} s" for one in seconds) + " for " + ", ".join(map(str, _SIZES))
