"""The streaming job: ``spark-submit streaming/job.py``."""

import argparse
import re
import sys
from collections.abc import Sequence

from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession

from database.engine import transaction
from database.migrate import pending
from encore.errors import EncoreError
from encore.events import Topics
from encore.log import configure_logging, get_logger
from encore.paths import encore_home
from encore.settings import Settings, load_settings, redacted
from encore.stack.endpoints import database_url, kafka_bootstrap_servers, redact_url
from encore.topics import ensure_topics, stamped_by_senders, topic_ids, wait_for_kafka
from streaming.features.catalogue import HalfLives
from streaming.features.signal import SignalRules
from streaming.startup import claim_settings, record_settings
from streaming.stream import RunningStream, event_stream, item_stream, user_stream

log = get_logger("streaming")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job until it is stopped; return the exit code."""
    options = _options(arguments)
    try:
        settings = load_settings()
        configure_logging(settings.log_format, settings.log_level)
        run(settings, settings.topics, available_now=options.available_now)
    except EncoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def run(settings: Settings, topics: Topics, *, available_now: bool) -> None:
    """Check what the job needs, start a query for each topic, and wait for them."""
    bootstrap, database = kafka_bootstrap_servers(), database_url()
    wait_for_kafka(bootstrap, timeout_seconds=60)
    ensure_topics(bootstrap, topics, settings)
    for topic in stamped_by_senders(bootstrap, topics.all()):
        log.warning(
            "arrival is the senders' clock: late and the duplicate horizon are as right as it is; "
            "set message.timestamp.type=LogAppendTime on the topic",
            topic=topic,
        )
    check_database(database, settings)
    log.info("settings", **redacted(settings))
    log.info("starting", kafka=bootstrap, database=redact_url(database))
    spark = session(settings)
    streams = open_streams(spark, settings, topics, bootstrap, database)
    try:
        queries = [stream.start(available_now=available_now) for stream in streams]
        if available_now:
            for query in queries:
                query.awaitTermination()
        else:
            spark.streams.awaitAnyTermination()
    except StreamingQueryException as error:
        raise EncoreError(
            f"the stream stopped: {explain(error)}\nEverything up to the last committed batch is "
            f"counted, nothing twice; start it again to go on. Details: {encore_home() / 'logs'}"
        ) from None
    finally:
        for query in spark.streams.active:
            query.stop()
        for stream in streams:
            stream.close()
        spark.stop()


def explain(error: StreamingQueryException) -> str:
    """Return what ended a query in a sentence: Spark's own text holds the plan and all stacks."""
    text = str(error)
    python = re.findall(r"^\s*(?:\w+\.)+\w*Error: (.+)", text, flags=re.MULTILINE)
    spark = re.search(r"terminated with exception: (.+)", text)
    cause = python[-1] if python else spark.group(1) if spark else text
    return str(cause).strip()[:500]


def check_database(database: str, settings: Settings) -> None:
    """Refuse a database with an old schema, or with features built by other settings."""
    if pending(database):
        raise EncoreError(
            f"{redact_url(database)} lacks a migration. Bring it up to date with `encore migrate`."
        )
    half_lives = HalfLives.of(settings)
    with transaction(database) as cursor:
        claim_settings(
            cursor,
            {
                **SignalRules.of(settings).as_settings(),
                "feature_affinity_half_life_days": half_lives.affinity.total_seconds() / 86_400,
                "feature_trend_half_life_hours": half_lives.trend.total_seconds() / 3600,
            },
        )
        record_settings(
            cursor, {"feature_session_timeout_minutes": settings.feature_session_timeout_minutes}
        )


def session(settings: Settings) -> SparkSession:
    """Return the Spark session of the submitted application."""
    return (
        SparkSession.builder.appName("encore-stream")
        .config("spark.sql.shuffle.partitions", settings.stream_shuffle_partitions)
        .getOrCreate()
    )


def open_streams(
    spark: SparkSession, settings: Settings, topics: Topics, bootstrap: str, database: str
) -> list[RunningStream]:
    """Open a stream for each topic: entities first, so that events find them known."""
    checkpoints = settings.stream_checkpoint or f"file://{encore_home() / 'checkpoints'}"
    ids = topic_ids(bootstrap, topics.all())
    return [
        RunningStream(
            spark,
            stream,
            bootstrap=bootstrap,
            database=database,
            topic_id=ids[stream.topic],
            checkpoints=checkpoints,
            settings=settings,
        )
        for stream in (item_stream(topics), user_stream(topics), event_stream(topics, settings))
    ]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--available-now",
        action="store_true",
        help="count what is in Kafka by now, then end",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
