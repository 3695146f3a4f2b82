"""How soon an event can be read from PostgreSQL, against a bare Kafka to Kafka micro-batch."""

import itertools
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import orjson
from kafka import KafkaConsumer, TopicPartition

from benchmarks.backlog import Bench, empty_tables, evening, running
from benchmarks.measure import Figure, single
from database.engine import connect as connect_postgres
from encore.events import Topics
from encore.settings import load_settings
from encore.topics import ensure_topics
from producer.publishing import connect as connect_kafka
from producer.stream import Stream as ProducerStream

_TICK_SECONDS = 0.02
_WARM_UP_SECONDS = 12.0
_GIVE_UP_SECONDS = 30.0

Visible = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds from sending an event to reading it, one for each probe."""

    seconds: Sequence[float]

    @property
    def p50(self) -> float:
        """Return the median."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """Return the 95th percentile."""
        return self._below(0.95)

    @property
    def p99(self) -> float:
        """Return the 99th percentile."""
        return self._below(0.99)

    def _below(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(len(self.seconds) * share))]


def bench_freshness(bench: Bench, rate: int, probes: int = 100) -> list[Figure]:
    """Measure both ways under a load of ``rate`` events a second."""
    bare = _bare(bench, rate, probes)
    ours = _whole(bench, rate, probes)
    against = "p50 of a bare Kafka to Kafka micro-batch"
    return [
        single(f"freshness p50 at {rate}/s", against, "s", ours.p50, bare.p50, "<= 5"),
        single(f"freshness p99 at {rate}/s", against, "s", ours.p99, bare.p50),
        single(f"freshness p99 at {rate}/s", "its own p99", "s", ours.p99, bare.p99),
    ]


def _whole(bench: Bench, rate: int, probes: int) -> Delays:
    topics = fresh_topics(bench, f"bench-fresh-{rate}")
    empty_tables(bench)
    settings = load_settings(kafka_topic_prefix=topics.events.removesuffix(".events"))
    reader = connect_postgres(bench.database, application_name="encore-bench")
    reader.autocommit = True

    def visible(waiting: Sequence[str]) -> Sequence[str]:
        with reader.cursor() as cursor:
            cursor.execute(
                "SELECT user_id FROM user_counts_day WHERE user_id = ANY (%s)", (list(waiting),)
            )
            return [row[0] for row in cursor.fetchall()]

    with running(bench, settings) as stream:
        stream.start(available_now=False)
        try:
            return delays(bench, topics, rate, probes, {"": visible})[""]
        finally:
            reader.close()


def _bare(bench: Bench, rate: int, probes: int) -> Delays:
    topics = fresh_topics(bench, f"bench-echo-{rate}")
    records = (
        bench.spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", bench.bootstrap)
        .option("subscribe", topics.events)
        .load()
        .select("key", "value")
    )
    with tempfile.TemporaryDirectory() as folder:
        query = (
            records.writeStream.format("kafka")
            .option("kafka.bootstrap.servers", bench.bootstrap)
            .option("topic", topics.users)
            .option("checkpointLocation", f"file://{folder}")
            .start()
        )
        consumer = KafkaConsumer(bootstrap_servers=bench.bootstrap, fetch_max_wait_ms=10)
        consumer.assign(
            [TopicPartition(topics.users, n) for n in consumer.partitions_for_topic(topics.users)]
        )

        def visible(waiting: Sequence[str]) -> Sequence[str]:  # noqa: ARG001
            found = consumer.poll(timeout_ms=5, max_records=100_000)
            keys = [one.key.decode() for records in found.values() for one in records]
            return [key for key in keys if key.startswith("probe")]

        try:
            return delays(bench, topics, rate, probes, {"": visible})[""]
        finally:
            consumer.close()
            query.stop()


def fresh_topics(bench: Bench, name: str) -> Topics:
    """Make topics of a name."""
    topics = Topics.of(name)
    ensure_topics(bench.bootstrap, topics, load_settings(kafka_topic_prefix=name))
    return topics


def delays(
    bench: Bench, topics: Topics, rate: int, probes: int, ways: Mapping[str, Visible]
) -> dict[str, Delays]:
    """Send marked events among others, and look until each can be read in each way."""
    waiting: dict[str, dict[str, float]] = {name: {} for name in ways}
    found: dict[str, list[float]] = {name: [] for name in ways}
    producer = connect_kafka(bench.bootstrap)
    with _load(bench, topics, rate):
        next_probe = time.monotonic() + _WARM_UP_SECONDS
        numbers = itertools.count()
        while any(len(one) < probes for one in found.values()):
            now = time.monotonic()
            if now >= next_probe and (number := next(numbers)) < probes:
                # Times that share no rhythm with the trigger.
                next_probe = now + 0.137 + 0.0613 * (number % 3)
                user = f"probe-{topics.events}-{number}"
                for sent in waiting.values():
                    sent[user] = time.monotonic()
                producer.send(topics.events, key=user.encode(), value=_event(user))
                producer.flush()
            for name, visible in ways.items():
                sent = waiting[name]
                for user in visible(list(sent)):
                    if user in sent:
                        found[name].append(time.monotonic() - sent.pop(user))
                if any(now - at > _GIVE_UP_SECONDS for at in sent.values()):
                    raise RuntimeError(f"an event was not to be read within {_GIVE_UP_SECONDS} s")
            time.sleep(0.002)
    producer.close()
    return {name: Delays(one) for name, one in found.items()}


@contextmanager
def _load(bench: Bench, topics: Topics, rate: int) -> Iterator[None]:
    """Send so many events a second from a thread."""
    stop = threading.Event()
    blocks = ProducerStream(evening(400_000, seed=rate)).blocks(entities=False)
    events = ((key, value) for block in blocks
              for key, value in zip(block.keys, block.values, strict=True))  # fmt: skip

    def send() -> None:
        producer = connect_kafka(bench.bootstrap)
        began, done = time.monotonic(), 0
        while not stop.wait(_TICK_SECONDS):
            due = int((time.monotonic() - began) * rate)
            for key, value in itertools.islice(events, due - done):
                producer.send(topics.events, key=key, value=value)
            done = due
        producer.close()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _event(user: str) -> bytes:
    return orjson.dumps(
        {
            "event_id": str(uuid.uuid4()),
            "schema_version": 1,
            "event_type": "listen",
            "event_ts": int(time.time() * 1000),
            "user_id": user,
            "item_id": "t1",
            "duration_ms": 200_000,
            "ms_played": 200_000,
        }
    )
