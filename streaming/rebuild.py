"""Counting the feature tables anew from Kafka: ``spark-submit streaming/rebuild.py``.

The live stream goes on meanwhile. It waits once, while the last records are counted and the rows
are exchanged: both happen under the lock that each of its commits takes.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from psycopg2 import extensions
from pyspark.sql import SparkSession

from database.engine import transaction
from encore.errors import EncoreError, UsageError
from encore.events import Topics
from encore.log import configure_logging, get_logger
from encore.settings import Settings, load_settings
from encore.stack.endpoints import database_url, kafka_bootstrap_servers, redact_url
from encore.topics import topic_ids, wait_for_kafka
from streaming import shadow
from streaming.erasing import FINISH, FORGET_IMPRESSIONS, read_erased
from streaming.features.catalogue import FeatureDeltas, HalfLives
from streaming.features.signal import SignalRules
from streaming.job import check_database
from streaming.metrics import Metrics
from streaming.source import read_range
from streaming.startup import oldest_offsets, thrown_away
from streaming.stream import EventDeltas, event_stream, event_targets
from streaming.writer import BatchWriter

log = get_logger("streaming")

Offsets = Mapping[int, int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild, print what changed; return the exit code."""
    options = _options(arguments)
    try:
        settings = load_settings()
        configure_logging(settings.log_format, settings.log_level)
        names = [target.name for target in event_targets(settings)]
        for found in run(settings, settings.topics, _chosen(names, options.table)):
            sys.stdout.write(
                f"{found.table:<26}{found.rows:>12,} rows{found.removed:>12,} removed"
                f"{found.added:>12,} added\n"
            )
    except EncoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def run(settings: Settings, topics: Topics, tables: Sequence[str]) -> list[shadow.Swapped]:
    """Count everything from Kafka beside the live tables, then exchange the chosen ones.

    Raises:
        EncoreError: Kafka no longer has all that was counted, or the topic was made anew.
    """
    bootstrap, database = kafka_bootstrap_servers(), database_url()
    wait_for_kafka(bootstrap, timeout_seconds=60)
    check_database(database, settings)
    log.info("rebuilding", tables=list(tables), database=redact_url(database))
    topic = topics.events
    with transaction(database) as cursor:
        first, until = _counted(cursor, topic, topic_ids(bootstrap, [topic])[topic])
        _refuse_missing(bootstrap, topic, first)
        every = [target.name for target in event_targets(settings)]
        shadow.create(cursor, every)
        erased = read_erased(cursor, topic_ids(bootstrap, [topic])[topic])
        erasures = _erasures(cursor)
    stream = event_stream(topics, settings)
    features = FeatureDeltas(SignalRules.of(settings), HalfLives.of(settings), erased)
    spark = SparkSession.builder.appName("encore-rebuild").getOrCreate()
    with tempfile.TemporaryDirectory() as scratch:
        writer = BatchWriter(
            spark,
            replace(stream, deltas=EventDeltas(features), last=FORGET_IMPRESSIONS),
            bootstrap=bootstrap,
            database=shadow.shadow_url(database),
            scratch=Path(scratch),
            settings=settings.model_copy(update={"stream_consumer_group": ""}),
            metrics=Metrics(),
        )
        counting = _Counting(spark, writer, bootstrap, topic, settings)
        try:
            writer.sink.open()
            writer.sink.begin(first)
            counting.until(first, until)
            with transaction(database) as cursor:
                topic_id = topic_ids(bootstrap, [topic])[topic]
                _, now = _counted(cursor, topic, topic_id, lock=True)
                log.info("exchanging", behind=sum(now.values()) - sum(until.values()))
                counting.until(until, now)
                if _erasures(cursor) != erasures:
                    raise EncoreError(
                        "a listener was deleted meanwhile, whom the new rows still know. Nothing "
                        "was changed; start the rebuild again."
                    )
                swapped = [shadow.swap(cursor, table) for table in tables]
                cursor.execute(FINISH, (topic, topic_id))
        finally:
            writer.close()
            with transaction(database) as cursor:
                shadow.drop(cursor)
    spark.stop()
    return swapped


def _erasures(cursor: extensions.cursor) -> object:
    cursor.execute("SELECT count(*), max(requested_at), max(erased_at) FROM erasures")
    return cursor.fetchall()


class _Counting:
    """Counts ranges of a topic in bounded batches."""

    def __init__(
        self,
        spark: SparkSession,
        writer: BatchWriter,
        bootstrap: str,
        topic: str,
        settings: Settings,
    ) -> None:
        self._spark = spark
        self._writer = writer
        self._bootstrap = bootstrap
        self._topic = topic
        self._most = settings.stream_max_offsets_per_trigger
        self._number = 0

    def until(self, begin: Offsets, end: Offsets) -> None:
        """Count from ``begin`` to before ``end``."""
        at = dict(begin)
        each = max(1, self._most // max(1, len(end)))
        while any(at.get(part, 0) < offset for part, offset in end.items()):
            step = {part: min(offset, at.get(part, 0) + each) for part, offset in end.items()}
            records = read_range(self._spark, self._bootstrap, self._topic, at, step)
            self._writer.write(records, self._number, step)
            self._number += 1
            at = step
        self._writer.settle()


def _counted(
    cursor: extensions.cursor, topic: str, topic_id: str, *, lock: bool = False
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the first counted offset of each partition, and the first that is not."""
    select = (
        "SELECT partition, first_offset, next_offset, topic_id FROM stream_offsets "
        "WHERE topic = %s ORDER BY partition"
    )
    cursor.execute(f"{select} FOR UPDATE" if lock else select, (topic,))
    rows = cursor.fetchall()
    if any(row[3] != topic_id for row in rows):
        raise EncoreError(
            f"{topic} was made anew since some of it was counted: what the old topic held cannot "
            "be read again, so the tables cannot be rebuilt from Kafka."
        )
    return {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows}


def _refuse_missing(bootstrap: str, topic: str, first: Offsets) -> None:
    missing = thrown_away(first, oldest_offsets(bootstrap, topic))
    if missing:
        raise EncoreError(
            f"Kafka no longer has {sum(missing.values())} of the counted records of {topic} "
            f"(partitions {sorted(missing)}): a rebuild would lose them. Nothing was changed. "
            "KAFKA_RETENTION_DAYS bounds what can be rebuilt."
        )


def _chosen(names: Sequence[str], wanted: Sequence[str] | None) -> Sequence[str]:
    unknown = [name for name in wanted or () if name not in names]
    if unknown:
        raise UsageError(f"--table {unknown[0]} is no feature table. There is: {', '.join(names)}.")
    return wanted or names


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="append", help="rebuild this table only (repeatable)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
