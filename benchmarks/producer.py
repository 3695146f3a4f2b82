"""How fast events are generated and published, each against a plain way in the same run.

Only the ratios mean something across machines: speeds move with whatever else is running.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
from faker import Faker

from producer.plan import Plan
from producer.publishing import KafkaSink, connect
from producer.records import Kind, RecordBlock
from producer.stream import Stream

LIVE_FROM_MS = 1_780_272_000_000


@dataclass(frozen=True, slots=True)
class Speed:
    """One measurement: records a second, and how many times that of the plain way it is."""

    name: str
    records_a_second: float
    ratio: float
    against: str


def history_plan(events: int) -> Plan:
    """Return a plan of the default size with about so many events of history."""
    return Plan(
        live_from_ms=LIVE_FROM_MS,
        history_ms=14 * 86_400_000,
        until_ms=LIVE_FROM_MS,
        history_events=events,
    )


def bench_generate(events: int = 200_000, repeats: int = 3) -> list[Speed]:
    """Measure behaviour and encoding together, against orjson and Faker for each event."""
    ours = max(_generate(events) for _ in range(repeats))
    sample = [orjson.loads(value) for block in _events(20_000) for value in _good_values(block)]
    dumped = max(_rate(len(sample), lambda: [orjson.dumps(one) for one in sample])
                 for _ in range(repeats))  # fmt: skip
    faker = Faker("en_US")
    faked = _rate(5_000, lambda: [_faked(faker, sample[index]) for index in range(5_000)])
    return [
        Speed("generate and encode", ours, ours / dumped, "only orjson.dumps of a dict"),
        Speed("generate and encode", ours, ours / faked, "a chain of Faker calls an event"),
    ]


def bench_publish(bootstrap: str, events: int = 100_000, repeats: int = 3) -> list[Speed]:
    """Measure publishing encoded records, against bare kafka-python with the same settings.

    Both wait for every acknowledgement. They take turns; the best of each counts. Topics of
    their own are made for it and deleted afterwards.
    """
    from kafka import KafkaAdminClient

    from encore.events import Topics
    from encore.settings import settings
    from encore.topics import ensure_topics

    topics = Topics("bench.events", "bench.users", "bench.items")
    ensure_topics(bootstrap, topics, settings())
    blocks = [block for block in _events(events) if block.kinds[0] <= Kind.MALFORMED]
    count = sum(len(block) for block in blocks)
    try:
        bare, ours = 0.0, 0.0
        for _ in range(repeats):
            bare = max(bare, _rate(count, lambda: _publish_bare(bootstrap, topics, blocks)))
            ours = max(ours, _rate(count, lambda: _publish_ours(bootstrap, topics, blocks)))
    finally:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
        admin.delete_topics(list(topics.all()))
        admin.close()
    return [Speed("publish", ours, ours / bare, "bare kafka-python, bytes encoded already")]


def main(bootstrap: str | None = None) -> list[Speed]:
    """Run every measurement and print a table; publishing only with a broker."""
    speeds = bench_generate()
    if bootstrap:
        speeds += bench_publish(bootstrap)
    for speed in speeds:
        print(
            f"{speed.name:<22}{speed.records_a_second:>12,.0f}/s"
            f"{speed.ratio:>9.2f} x  {speed.against}"
        )
    return speeds


def _events(count: int) -> Iterable[RecordBlock]:
    return Stream(history_plan(count)).blocks(entities=False)


def _good_values(block: RecordBlock) -> list[bytes]:
    rows = zip(block.kinds.tolist(), block.values, strict=True)
    return [value for kind, value in rows if kind <= Kind.LATE]


def _generate(events: int) -> float:
    stream = Stream(history_plan(events))
    gc.collect()
    began = time.perf_counter()
    count = sum(len(block) for block in stream.blocks(entities=False))
    return count / (time.perf_counter() - began)


def _rate(count: int, work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def _faked(faker: Faker, event: dict[str, Any]) -> bytes:
    return orjson.dumps(
        event
        | {
            "event_id": faker.uuid4(),
            "user_id": faker.numerify("u####"),
            "item_id": faker.numerify("t#####"),
            "device": faker.random_element(("phone", "desktop", "tablet")),
            "city": faker.city(),
            "country": faker.country_code(),
            "lat": float(faker.latitude()),
            "lon": float(faker.longitude()),
        }
    )


def _publish_bare(bootstrap: str, topics: Any, blocks: list[RecordBlock]) -> None:
    producer = connect(bootstrap)
    for block in blocks:
        for key, value in zip(block.keys, block.values, strict=True):
            producer.send(topics.events, value=value, key=key)
    producer.flush()
    producer.close()


def _publish_ours(bootstrap: str, topics: Any, blocks: list[RecordBlock]) -> None:
    sink = KafkaSink(connect(bootstrap), topics)
    for block in blocks:
        for start in range(0, len(block), 500):
            sink.send(block.part(start, start + 500))
    sink.close(lambda: False)
    if sink.tally.acknowledged != sink.tally.sent:
        raise RuntimeError(f"not all acknowledged: {sink.tally.failed}")


if __name__ == "__main__":
    main(*islice(sys.argv, 1, 2))
