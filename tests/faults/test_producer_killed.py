"""The producer killed in the middle and run again: the same events are accepted, each once."""

import base64
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from database.engine import transaction
from encore.errors import EncoreError
from encore.topics import end_offsets
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside
from tests.faults.pipeline import HISTORY, Pipeline
from tests.oracle import BreachError, expect, judge
from tests.programs import encore, running

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]

# Long enough for a kill in the middle, whatever the machine.
PRODUCE = (*HISTORY, "--seed=9", "--history-events=150000", "--max-events=60000")


def test_a_producer_killed_and_run_again_loses_no_event_and_adds_none(inside: Inside) -> None:
    pipeline = inside.pipeline
    file = pipeline.folder / "uninterrupted.jsonl"
    encore(*PRODUCE, f"--output={file}", env=pipeline.env)
    values = list(values_of(file, pipeline.topics.events))
    with running(*PRODUCE, env=pipeline.env, log=pipeline.folder / "produce.log") as producer:
        producer.wait_until(
            lambda: in_kafka(pipeline) >= 3000, timeout=60, what="Kafka has 3000 events"
        )
        producer.kill()
    assert 3000 <= in_kafka(pipeline) < len(values)
    encore(*PRODUCE, env=pipeline.env)
    inside.count_all(stream_max_offsets_per_trigger=30_000)
    records = pipeline.records()
    # The broker goes on with what the killed one had sent: how much that was, only the topic says.
    sent_twice = Counter(record.value for record in records)
    sent_twice.subtract(values)
    assert min(sent_twice.values()) == 0
    assert 3000 <= sent_twice.total() < len(values)
    assert sent_twice <= Counter(values)
    pipeline.assert_exact(records)
    wanted = set(valid_ids(values))
    accepted = [event["event_id"].lower() for event in expect(records).accepted]
    assert len(accepted) == len(wanted)
    assert set(accepted) == wanted
    with transaction(pipeline.database) as cursor:
        cursor.execute(
            "SELECT sum(accepted) FROM stream_offsets WHERE topic = %s", (pipeline.topics.events,)
        )
        assert cursor.fetchall() == [(len(wanted),)]
        cursor.execute("SELECT sum(events) FROM user_counts_day")
        assert cursor.fetchall() == [(len(wanted),)]


def in_kafka(pipeline: Pipeline) -> int:
    try:
        return sum(end_offsets(pipeline.kafka, [pipeline.topics.events]).values())
    except EncoreError:
        return 0  # the producer has not created the topics yet


def values_of(file: Path, topic: str) -> Iterator[bytes]:
    for line in file.read_bytes().splitlines():
        record = json.loads(line)
        if record["topic"] == topic:
            yield (
                record["value"].encode()
                if "value" in record
                else base64.b64decode(record["value_base64"])
            )


def valid_ids(values: list[bytes]) -> Iterator[str]:
    now = round(time.time() * 1000)
    for value in values:
        try:
            yield judge(value, now)["event_id"].lower()
        except BreachError:
            continue
