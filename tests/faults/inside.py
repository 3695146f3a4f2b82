"""Hand-made records, and the stream of events run inside the test's own process.

A Spark session is made once and shared: where no process has to die, a run costs two seconds.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaProducer
from structlog.testing import capture_logs

from database.engine import transaction
from encore.settings import load_settings
from encore.topics import MAX_MESSAGE_BYTES, ensure_topics
from streaming.metrics import Metrics
from streaming.stream import RunningStream, event_stream
from streaming.writer import Stream
from tests.faults.pipeline import Pipeline

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# py4j keeps a connection for each of the query's threads, and leaves it to the collector.
PY4J_LEAVES_SOCKETS = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)


@dataclass(frozen=True)
class Message:
    """A record to send. ``at_ms`` is its timestamp, where the topic takes the sender's."""

    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    at_ms: int | None = None


def event(number: int, **fields: object) -> dict[str, object]:
    """Return an event of now: a listen of one of 50 users; ``fields`` replace, ... leaves out."""
    whole = {
        "event_id": str(uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128)),
        "schema_version": 1,
        "event_type": "listen",
        "event_ts": time.time_ns() // 1_000_000 - 1000 * (number % 90),
        "user_id": f"user-{number % 50}",
        "session_id": f"visit-{number % 50}-{number // 500}",
        "item_id": f"item-{number % 31}",
        "duration_ms": 200_000,
        "ms_played": 1000 * (number % 250),
        "device": "phone",
        "country": "DE",
        "level": "free",
    }
    return {name: value for name, value in {**whole, **fields}.items() if value is not ...}


def message(one: dict[str, object], **places: Any) -> Message:
    """Return an event as a record, keyed by its user."""
    key = str(one["user_id"]).encode() if "user_id" in one else None
    return Message(json.dumps(one).encode(), key, **places)


@dataclass
class Running:
    """A stream that runs beside the test: what it logs and measures."""

    stream: RunningStream
    metrics: Metrics
    logged: Sequence[MutableMapping[str, Any]]

    def put_off(self) -> list[str]:
        """Return why batches were put off, in order."""
        return [one["because"] for one in list(self.logged) if one["event"] == "batch put off"]

    def wait_until(self, condition: Callable[[], bool], *, what: str, timeout: float = 120) -> None:
        """Wait for a condition; fail when it does not come, or the stream fails before."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert self.stream.failure() is None, f"failed before {what}: {self.stream.failure()}"
            assert time.monotonic() < deadline, f"waited {timeout} s until {what}: {self.logged}"
            time.sleep(0.02)


@dataclass(frozen=True)
class Inside:
    """A pipeline whose stream of events runs in this process."""

    spark: "SparkSession" = field(repr=False)
    pipeline: Pipeline

    def make_topics(self) -> None:
        """Create the topics."""
        settings = load_settings(kafka_topic_prefix=self._prefix)
        ensure_topics(self.pipeline.kafka, self.pipeline.topics, settings)

    def send(self, messages: Iterable[Message], topic: str | None = None) -> int:
        """Send records to a topic, that of events, in their order; return how many."""
        producer = KafkaProducer(
            bootstrap_servers=self.pipeline.kafka,
            acks="all",
            enable_idempotence=True,
            linger_ms=20,
            batch_size=262_144,
            max_request_size=MAX_MESSAGE_BYTES,
        )
        with closing(producer):
            futures = [
                producer.send(
                    topic or self.pipeline.topics.events,
                    value=one.value,
                    key=one.key,
                    partition=one.partition,
                    timestamp_ms=one.at_ms,
                )
                for one in messages
            ]
            producer.flush(timeout=60)
            for future in futures:
                future.get(timeout=60)
        return len(futures)

    @contextmanager
    def streaming(
        self, *, available_now: bool = False, stream: Stream | None = None, **settings: Any
    ) -> Iterator[Running]:
        """Run a stream, that of events, beside the test; close it at the end."""
        chosen: dict[str, Any] = {
            "kafka_topic_prefix": self._prefix,
            "stream_max_offsets_per_trigger": 1000,
            "stream_trigger_seconds": 0.05,
            "stream_consumer_group": "",
            **settings,
        }
        loaded, metrics = load_settings(**chosen), Metrics()
        with capture_logs() as logged:
            running = RunningStream(
                self.spark,
                stream or event_stream(self.pipeline.topics, loaded),
                bootstrap=self.pipeline.kafka,
                database=self.pipeline.database,
                scratch=self.pipeline.folder / "checkpoints",
                settings=loaded,
                metrics=metrics,
            )
            try:
                running.start(available_now=available_now)
                yield Running(running, metrics, logged)
            finally:
                running.close()

    def count_all(self, **settings: Any) -> None:
        """Run the stream to the end of what is in Kafka."""
        with self.streaming(available_now=True, **settings) as running:
            running.stream.wait()

    def totals(self) -> dict[str, int]:
        """Return what became of all records, as the accounts have it; they must close."""
        with transaction(self.pipeline.database) as cursor:
            cursor.execute(
                "SELECT sum(accepted)::bigint, sum(duplicate)::bigint, sum(rejected)::bigint, "
                "sum(gaps)::bigint, sum(next_offset - first_offset)::bigint FROM stream_offsets "
                "WHERE topic = %s",
                (self.pipeline.topics.events,),
            )
            accepted, duplicate, rejected, gaps, read = cursor.fetchall()[0]
        assert (accepted + duplicate + rejected, gaps) == (read, 0)
        return {"accepted": accepted, "duplicate": duplicate, "rejected": rejected}

    @property
    def _prefix(self) -> str:
        return self.pipeline.topics.events.removesuffix(".events")
