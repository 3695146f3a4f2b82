"""Where the time of the whole job goes: processor time by process, the phases of its batches."""

import os
from collections import Counter
from collections.abc import Mapping

import psutil

from benchmarks.backlog import Bench, empty_tables, evening, fill_topic, whole_job
from benchmarks.measure import Figure
from database.engine import transaction

_EVENTS = 1_000_000
_BATCH = 500_000
# What a process's name or command line holds: the first that fits.
_KINDS: Mapping[str, str] = {
    "kafka.Kafka": "Kafka's broker",
    "postgres": "PostgreSQL",
    "java": "Spark's JVM",
    "pyspark": "Spark's Python workers",
}
_LEAST_US = 0.1


def bench_profile(bench: Bench) -> list[Figure]:
    """Measure one run of a warm job: microseconds of a core for each event, by process."""
    topics = fill_topic(bench, "bench-profile", evening(_EVENTS))
    whole_job(bench, topics, _BATCH)
    empty_tables(bench)
    before = _processor_seconds()
    seconds = whole_job(bench, topics, _BATCH, keep=True)
    after = _processor_seconds()
    spent = Counter({name: (after[name] - before[name]) * 1e6 / _EVENTS for name in after})
    whole = (os.cpu_count() or 1) * seconds * 1e6 / _EVENTS
    figures = [
        _share(f"processor: {name}", "all cores for as long as it took", each, whole)
        for name, each in spent.most_common()
        if each >= _LEAST_US
    ]
    return figures + _phases(bench)


def _share(name: str, of: str, each: float, whole: float) -> Figure:
    return Figure(name, of, "us/event", each, whole, each / whole, [each / whole])


def _processor_seconds() -> Counter[str]:
    """Return the processor time that each kind of process has had, those that ended included."""
    spent: Counter[str] = Counter()
    for process in psutil.process_iter(["name", "cmdline", "cpu_times"]):
        words = f"{process.info['name']} {' '.join(process.info['cmdline'] or [])}"
        kind = next((kind for mark, kind in _KINDS.items() if mark in words), None)
        if kind is not None:
            spent[kind] += sum(process.info["cpu_times"][:4])  # its own, and its children's
    return spent


def _phases(bench: Bench) -> list[Figure]:
    with transaction(bench.database) as cursor:
        cursor.execute(
            "SELECT name, sum(ms::float8), sum(read) FROM ingest_audit, "
            "jsonb_each_text(phases) AS p (name, ms) GROUP BY name ORDER BY 2 DESC"
        )
        rows = cursor.fetchall()
    total = sum(ms / float(read) for _, ms, read in rows)
    return [
        _share(f"phase: {name}", "all phases", ms / float(read) * 1e3, total * 1e3)
        for name, ms, read in rows
    ]
