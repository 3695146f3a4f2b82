"""The streaming job: ``spark-submit streaming/job.py``."""

import argparse
import hashlib
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
from kafka.errors import KafkaError
from pyspark.sql import SparkSession

from database.engine import transaction
from database.migrate import require_newest
from encore.errors import EncoreError, ServiceUnavailableError
from encore.events import Topics
from encore.log import configure_logging, get_logger
from encore.paths import encore_home
from encore.settings import Settings, load_settings, redacted
from encore.stack.endpoints import database_url, kafka_bootstrap_servers, redact_url
from encore.topics import ensure_topics, stamped_by_senders, wait_for_kafka
from streaming.features.catalogue import HalfLives
from streaming.features.outcomes import Attribution
from streaming.features.signal import SignalRules
from streaming.folding import Keep, fold, forget_impressions
from streaming.metrics import Metrics, ProgressListener
from streaming.startup import claim_settings, record_settings
from streaming.stopping import Stop
from streaming.stream import RunningStream, event_stream, item_stream, user_stream

log = get_logger("streaming")

_LOOK_SECONDS = 0.2
_FOLD_SECONDS = 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job until it is stopped; return the exit code."""
    options = _options(arguments)
    try:
        settings = load_settings()
        configure_logging(settings.log_format, settings.log_level)
        run(settings, settings.topics, options)
    except EncoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def run(settings: Settings, topics: Topics, options: argparse.Namespace) -> None:
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
    spark = SparkSession.builder.appName("encore-stream").getOrCreate()
    stop = Stop()
    try:
        _count(spark, stop, bootstrap, database, settings, topics, options)
        log.info("stopped")
    finally:
        stop.done()


def _count(
    spark: SparkSession,
    stop: Stop,
    bootstrap: str,
    database: str,
    settings: Settings,
    topics: Topics,
    options: argparse.Namespace,
) -> None:
    metrics = Metrics()
    with ExitStack() as opened:
        opened.callback(spark.stop)
        _watch(spark, metrics, settings, opened)
        streams = []
        for stream in (
            item_stream(topics),
            user_stream(topics, bootstrap),
            event_stream(topics, settings),
        ):
            streams.append(
                RunningStream(
                    spark,
                    stream,
                    bootstrap=bootstrap,
                    database=database,
                    scratch=_scratch(database),
                    settings=settings,
                    metrics=metrics,
                    accept_topic_reset=options.accept_topic_reset,
                )
            )
            opened.callback(streams[-1].close)
        stop.on_signals(spark)
        folding = _Folding(database, topics.events, settings)
        folding.when_due()
        for one in streams:
            one.start(available_now=options.available_now)
        _wait(streams, stop, folding)


def _watch(spark: SparkSession, metrics: Metrics, settings: Settings, opened: ExitStack) -> None:
    """Serve the metrics, if a port is set."""
    spark.streams.addListener(ProgressListener(metrics))
    port, host = settings.stream_metrics_port, settings.stream_metrics_host
    if not port:
        return
    try:
        server = metrics.serve(port, host)
    except OSError as error:
        raise EncoreError(
            f"STREAM_METRICS_PORT={port}: {error.strerror} at {host}. Choose a free port, or 0."
        ) from None
    opened.callback(server.server_close)
    opened.callback(server.shutdown)
    log.info("metrics", url=f"http://{host}:{port}/metrics")


class _Folding:
    """Folds old rows, and forgets old impressions, at the start and every hour."""

    def __init__(self, database: str, topic: str, settings: Settings) -> None:
        self._database = database
        self._topic = topic
        self._keep = Keep.of(settings)
        self._attribution = Attribution.of(settings)
        self._due = 0.0

    def when_due(self) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _FOLD_SECONDS
        try:
            forget_impressions(self._database, self._topic, self._attribution)
            if self._keep != Keep(None, None):
                fold(self._database, self._topic, self._keep, datetime.now(UTC))
        except (psycopg2.Error, EncoreError) as error:
            log.warning("not folded, next try in an hour", because=str(error).strip())


def _wait(streams: Sequence[RunningStream], stop: Stop, folding: _Folding) -> None:
    """Wait for a request to stop, or for the first query to fail, or for all to end."""
    while not stop.requested.wait(_LOOK_SECONDS):
        folding.when_due()
        for stream in streams:
            error = stream.failure()
            if error:
                with suppress(ServiceUnavailableError, KafkaError):
                    stream.refuse_another_topic()  # of which Spark tells lost offsets, if anything
                raise EncoreError(
                    f"the stream stopped: {explain(error)}\nEverything up to the last committed "
                    "batch is counted, nothing twice; start it again to go on. "
                    f"Details: {encore_home() / 'logs'}"
                )
        if not any(stream.is_active for stream in streams):
            return
    log.info("stopping", because="asked to", after="the batch in hand")


def explain(error: BaseException) -> str:
    """Return what ended a query in a sentence: Spark's own text holds the plan and all stacks."""
    text = str(error)
    python = re.findall(r"^\s*(?:\w+\.)+\w*Error: (.+)", text, flags=re.MULTILINE)
    spark = re.search(r"terminated with exception: (.+)", text)
    cause = python[-1] if python else spark.group(1) if spark else text
    return str(cause).strip()[:600]


def check_database(database: str, settings: Settings) -> None:
    """Refuse a database with an old schema, or with features built by other settings."""
    require_newest(database)
    half_lives = HalfLives.of(settings)
    with transaction(database) as cursor:
        claim_settings(
            cursor,
            {
                **SignalRules.of(settings).as_settings(),
                **Attribution.of(settings).as_settings(),
                "feature_affinity_half_life_days": half_lives.affinity.total_seconds() / 86_400,
                "feature_trend_half_life_hours": half_lives.trend.total_seconds() / 3600,
            },
        )
        record_settings(
            cursor, {"feature_session_timeout_minutes": settings.feature_session_timeout_minutes}
        )


def _scratch(database: str) -> Path:
    """Return the folder of this database's checkpoints; the sink's claim keeps others out."""
    mark = hashlib.sha256(redact_url(database).encode()).hexdigest()[:12]
    return encore_home() / "checkpoints" / mark


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--available-now",
        action="store_true",
        help="count what is in Kafka by now, then end",
    )
    parser.add_argument(
        "--accept-topic-reset",
        action="store_true",
        help="count a topic that was deleted and made anew from its beginning, on top of what is "
        "counted",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
