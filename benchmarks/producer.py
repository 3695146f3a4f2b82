"""How fast events are generated and published, each against a plain way in the same run.

Only the ratios mean something across machines: speeds move with whatever else is running.
"""

import gc
import time
from collections.abc import Iterable
from typing import Any

import orjson
from faker import Faker

from benchmarks.measure import Figure, compare, rate, take_turns
from producer.plan import Plan
from producer.publishing import KafkaSink, connect
from producer.records import Kind, RecordBlock
from producer.stream import Stream

LIVE_FROM_MS = 1_780_272_000_000


def history_plan(events: int) -> Plan:
    """Return a plan of the default size with about so many events of history."""
    return Plan(
        live_from_ms=LIVE_FROM_MS,
        history_ms=14 * 86_400_000,
        until_ms=LIVE_FROM_MS,
        history_events=events,
    )


def figures(bootstrap: str) -> list[Figure]:
    """Measure generating and publishing."""
    return [*bench_generate(), *bench_publish(bootstrap)]


def bench_generate(events: int = 200_000, repeats: int = 3) -> list[Figure]:
    """Measure behaviour and encoding together, against orjson and Faker for each event."""
    sample = [orjson.loads(value) for block in _events(20_000) for value in _good_values(block)]
    faker = Faker("en_US")
    found = take_turns(
        {
            "ours": lambda: _generate(events),
            "orjson": lambda: rate(len(sample), lambda: [orjson.dumps(one) for one in sample]),
            "faker": lambda: rate(3_000, lambda: [_faked(faker) for _ in range(3_000)]),
        },
        repeats=repeats,
    )
    ours = found["ours"]
    return [
        compare(
            "generate and encode",
            "only orjson.dumps of a dict",
            ours,
            found["orjson"],
            unit="events/s",
        ),
        compare(
            "generate and encode",
            "a chain of Faker calls an event",
            ours,
            found["faker"],
            unit="events/s",
            target=">= 20",
        ),
    ]


def bench_publish(bootstrap: str, events: int = 100_000, repeats: int = 3) -> list[Figure]:
    """Measure publishing encoded records, against bare kafka-python with the same settings.

    Both wait for every acknowledgement. Topics of their own are made for it and deleted
    afterwards.
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
        found = take_turns(
            {
                "bare": lambda: rate(count, lambda: _publish_bare(bootstrap, topics, blocks)),
                "ours": lambda: rate(count, lambda: _publish_ours(bootstrap, topics, blocks)),
            },
            repeats=repeats,
        )
    finally:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
        admin.delete_topics(list(topics.all()))
        admin.close()
    against = "bare kafka-python, bytes encoded already"
    return [
        compare("publish", against, found["ours"], found["bare"], unit="events/s", target=">= 0.8")
    ]


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


def _faked(faker: Faker) -> bytes:
    moment = int(faker.date_time_this_year().timestamp() * 1000)
    return orjson.dumps(
        {
            "event_id": faker.uuid4(),
            "schema_version": 1,
            "event_type": faker.random_element(("listen", "like", "page_view")),
            "event_ts": moment,
            "produced_ts": moment,
            "user_id": faker.numerify("u####"),
            "item_id": faker.numerify("t#####"),
            "session_id": faker.numerify("s#######"),
            "duration_ms": faker.random_int(60_000, 400_000),
            "ms_played": faker.random_int(0, 60_000),
            "device": faker.random_element(("phone", "desktop", "tablet")),
            "city": faker.city(),
            "country": faker.country_code(),
            "lat": float(faker.latitude()),
            "lon": float(faker.longitude()),
            "level": faker.random_element(("free", "paid")),
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
