"""How fast the whole streaming job works off a backlog, against Spark's bare reading of it."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from psycopg2 import sql
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from sqlalchemy import BigInteger, Column, Double, Text
from sqlalchemy.orm import DeclarativeBase, Session

from benchmarks.measure import Figure, compare, take_turns
from benchmarks.stock import jdbc_jars
from database.engine import make_engine, transaction
from encore.events import EVENT_FIELDS, Kind, Topics
from encore.settings import Settings, load_settings
from encore.spark import build_session
from encore.topics import ensure_topics
from producer.plan import Plan
from producer.publishing import KafkaSink, connect
from producer.records import RecordBlock
from producer.stream import Stream as ProducerStream
from streaming.metrics import Metrics
from streaming.stream import RunningStream, event_stream, event_targets

LIVE_FROM_MS = 1_793_563_200_000  # 2026-11-01 20:00 UTC
_HOUR_MS = 3_600_000
_TYPES: Mapping[Kind, T.DataType] = {
    Kind.TEXT: T.StringType(),
    Kind.INTEGER: T.LongType(),
    Kind.NUMBER: T.DoubleType(),
}
_SCHEMA = T.StructType([T.StructField(one.name, _TYPES[one.kind]) for one in EVENT_FIELDS])


class Bench:
    """Services of the benchmark's own, and a Spark session from when it is first asked for."""

    def __init__(self, bootstrap: str, database: str) -> None:
        """Take where Kafka and PostgreSQL are."""
        self.bootstrap = bootstrap
        self.database = database

    @cached_property
    def spark(self) -> SparkSession:
        """Return the session. It takes from whatever is measured beside it, even at rest."""
        jars = ",".join(map(str, jdbc_jars()))
        return build_session("encore-bench", master="local[*]", extra={"spark.jars": jars})

    def close(self) -> None:
        """Stop the session, if there is one."""
        if "spark" in vars(self):
            self.spark.stop()


def evening(events: int, *, seed: int = 5) -> Plan:
    """Return the plan of an evening hour of 200,000 listeners, cut off after so many events."""
    return Plan(
        live_from_ms=LIVE_FROM_MS,
        history_ms=_HOUR_MS,
        until_ms=LIVE_FROM_MS,
        history_events=5_000_000,
        max_events=events,
        users=200_000,
        seed=seed,
        duplicates=0.01,
    )


def fill_topic(
    bench: Bench,
    name: str,
    plan: Plan,
    keep: Callable[[RecordBlock], RecordBlock] = lambda block: block,
) -> Topics:
    """Publish the events of a plan, or what is kept of them, to a topic of their own."""
    topics = Topics.of(name)
    ensure_topics(bench.bootstrap, topics, load_settings(kafka_topic_prefix=name))
    sink = KafkaSink(connect(bench.bootstrap), topics)
    for block in map(keep, ProducerStream(plan).blocks(entities=False)):
        for start in range(0, len(block), 500):
            sink.send(block.part(start, start + 500))
    sink.close(lambda: False)
    return topics


def bench_throughput(bench: Bench, events: int = 1_000_000, repeats: int = 3) -> list[Figure]:
    """Measure the whole job on a backlog against bare parsing, and against the naive way."""
    topics = fill_topic(bench, "bench-backlog", evening(events))
    # Poison ends the naive way: PostgreSQL takes no NUL in a text.
    few = fill_topic(bench, "bench-few", replace(evening(20_000, seed=6), malformed=0.0))
    batch = 500_000
    found = take_turns(
        {
            "bare": lambda: events / bare_parsing(bench, topics, batch),
            "whole": lambda: events / whole_job(bench, topics, batch),
        },
        repeats=repeats,
    )
    naive = take_turns(
        {
            "naive": lambda: 20_000 / naive_way(bench, few),
            "whole": lambda: events / whole_job(bench, topics, batch),
        },
        repeats=2,
        warm_up=0,
    )
    return [
        compare(
            "throughput",
            "Spark reading and from_json-parsing the same topic into the no-op sink",
            found["whole"],
            found["bare"],
            unit="events/s",
            target=">= 0.3",
        ),
        compare(
            "throughput",
            "foreachBatch, collect and ORM insert",
            naive["whole"],
            naive["naive"],
            unit="events/s",
            target=">= 20",
        ),
    ]


def bare_parsing(bench: Bench, topics: Topics, batch: int) -> float:
    """Read and parse a topic into the no-op sink; return the seconds it took."""
    parsed = _read(bench, topics, batch).select(
        F.from_json(F.col("value").cast("string"), _SCHEMA).alias("event")
    )
    return _awaited(parsed.select("event.*").writeStream.format("noop"))


def whole_job(bench: Bench, topics: Topics, batch: int, *, keep: bool = False) -> float:
    """Count a topic into the feature tables, emptied before; return the seconds it took."""
    if not keep:
        empty_tables(bench)
    settings = load_settings(
        kafka_topic_prefix=topics.events.removesuffix(".events"),
        stream_max_offsets_per_trigger=batch,
    )
    with running(bench, settings) as stream:
        began = time.perf_counter()
        stream.start(available_now=True)
        stream.wait()
        return time.perf_counter() - began


@contextmanager
def running(bench: Bench, settings: Settings) -> Iterator[RunningStream]:
    """Open the stream of events in this process; close it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        stream = RunningStream(
            bench.spark,
            event_stream(settings.topics, settings),
            bootstrap=bench.bootstrap,
            database=bench.database,
            scratch=Path(folder),
            settings=settings,
            metrics=Metrics(),
        )
        try:
            yield stream
        finally:
            stream.close()


class _Base(DeclarativeBase):
    pass


class _NaiveEvent(_Base):
    __tablename__ = "naive_events"
    event_id = Column(Text, primary_key=True)
    for _field in EVENT_FIELDS[1:]:
        locals()[_field.name] = Column(
            {Kind.TEXT: Text, Kind.INTEGER: BigInteger, Kind.NUMBER: Double}[_field.kind]
        )


def naive_way(bench: Bench, topics: Topics) -> float:
    """Insert every event of a topic as an ORM object on the driver; return the seconds it took."""
    engine = make_engine(bench.database)
    _Base.metadata.drop_all(engine)
    _Base.metadata.create_all(engine)

    def write(rows: DataFrame, _: int) -> None:
        with Session(engine) as session:
            for row in rows.dropDuplicates(["event_id"]).collect():
                session.add(_NaiveEvent(**row.asDict()))
            session.commit()

    parsed = _read(bench, topics, 500_000).select(
        F.from_json(F.col("value").cast("string"), _SCHEMA).alias("event")
    )
    good = parsed.select("event.*").filter("event_id IS NOT NULL")
    try:
        return _awaited(good.writeStream.foreachBatch(write))
    finally:
        _Base.metadata.drop_all(engine)
        engine.dispose()


def empty_tables(bench: Bench) -> None:
    """Empty every table that the stream of events writes."""
    names = [target.name for target in event_targets(load_settings())]
    books = ("seen_events", "rejected_events", "ingest_audit", "stream_offsets")
    tables = sql.SQL(", ").join(sql.Identifier(name) for name in (*names, *books))
    with transaction(bench.database) as cursor:
        cursor.execute(sql.SQL("TRUNCATE {}").format(tables))


def _read(bench: Bench, topics: Topics, batch: int) -> DataFrame:
    return (
        bench.spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", bench.bootstrap)
        .option("subscribe", topics.events)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", batch)
        .load()
    )


def _awaited(writer: Any) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        query = (
            writer.option("checkpointLocation", f"file://{folder}")
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        return time.perf_counter() - began
