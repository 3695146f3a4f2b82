"""Publishing to a real broker: everything counted, order kept, a broker away waited for."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from kafka import KafkaConsumer, TopicPartition

from encore.errors import DeliveryError, ServiceUnavailableError
from encore.events import Topics
from encore.stack.process import free_port
from encore.topics import beginning_offsets, end_offsets
from producer.plan import Plan
from producer.publishing import KafkaSink, connect
from producer.records import Kind, RecordBlock
from producer.run import Stop, check_delivered, run
from producer.stream import Stream
from tests.programs import broker_process

pytestmark = pytest.mark.services

LIVE_FROM_MS = 1_780_272_000_000
PLAN = Plan(
    live_from_ms=LIVE_FROM_MS,
    history_ms=14 * 86_400_000,
    users=200,
    tracks=500,
    until_ms=LIVE_FROM_MS,
    malformed=0.01,
)


def block_of(values: list[bytes], kind: Kind = Kind.EVENT) -> RecordBlock:
    count = len(values)
    kinds = np.full(count, kind, dtype=np.uint8)
    return RecordBlock(kinds, [b"u1"] * count, values, np.zeros(count, dtype=np.int64), live=False)


def consume(bootstrap: str, topic: str) -> dict[int, list[tuple[bytes | None, bytes]]]:
    """Return the records of each partition, in order."""
    end = {part: offset for (name, part), offset in end_offsets(bootstrap, [topic]).items()}
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    found: dict[int, list[tuple[bytes | None, bytes]]] = {part: [] for part in end}
    try:
        parts = {part: TopicPartition(topic, part) for part in end}
        consumer.assign(list(parts.values()))
        consumer.seek_to_beginning(*parts.values())
        deadline = time.monotonic() + 60
        while any(consumer.position(parts[part]) < end[part] for part in end):
            assert time.monotonic() < deadline, "not everything could be read back"
            for part, messages in consumer.poll(timeout_ms=500).items():
                found[part.partition] += [(one.key, one.value) for one in messages]
    finally:
        consumer.close()
    return found


def count_of(bootstrap: str, topic: str) -> int:
    begin = beginning_offsets(bootstrap, [topic])
    return sum(end - begin[where] for where, end in end_offsets(bootstrap, [topic]).items())


def wait_until(satisfied: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not satisfied():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.05)


def test_everything_produced_is_in_kafka_in_the_order_of_each_key(
    kafka: str, topics: Topics
) -> None:
    tally = run(
        Stream(PLAN).blocks(), KafkaSink(connect(kafka), topics), Stop(), lambda _tally: None
    )
    check_delivered(tally)
    assert tally.acknowledged == tally.sent
    expected: dict[bytes | None, list[bytes]] = {}
    for block in Stream(PLAN).blocks(entities=False):
        for key, value in zip(block.keys, block.values, strict=True):
            expected.setdefault(key, []).append(value)
    found: dict[bytes | None, list[bytes]] = {}
    for records in consume(kafka, topics.events).values():
        for one_key, one_value in records:
            found.setdefault(one_key, []).append(one_value)
    assert found == expected
    users = tally.sent[Kind.USER]
    assert count_of(kafka, topics.users) == users
    assert count_of(kafka, topics.items) == 500


def test_keys_lie_where_kafkas_own_partitioner_puts_them(kafka: str, topics: Topics) -> None:
    keys = [f"u{number}".encode() for number in range(200)]
    sink = KafkaSink(connect(kafka), topics)
    block = block_of([b"ours"] * 200)
    sink.send(replace(block, keys=keys))
    sink.close(lambda: False)
    producer = connect(kafka)
    for key in keys:
        producer.send(topics.events, key=key, value=b"theirs")
    producer.flush()
    producer.close()
    for records in consume(kafka, topics.events).values():
        ours = {key for key, value in records if value == b"ours"}
        assert ours == {key for key, value in records if value == b"theirs"}


def test_a_record_that_is_too_large_is_counted_and_the_rest_is_sent(
    kafka: str, topics: Topics
) -> None:
    sink = KafkaSink(connect(kafka), topics)
    huge = b"x" * 20_000_000
    tally = run([block_of([b"1", huge, b"2"])], sink, Stop(), lambda _tally: None)
    assert tally.acknowledged[Kind.EVENT] == 2
    with pytest.raises(DeliveryError, match="1 of 3 records could not be delivered"):
        check_delivered(tally)


def test_a_stop_sends_no_more_and_everything_sent_is_acknowledged(
    kafka: str, topics: Topics
) -> None:
    stop = Stop()
    endless = replace(PLAN, history_ms=0, until_ms=None)
    sink = KafkaSink(connect(kafka), topics)
    tally = run(
        Stream(endless).blocks(),
        sink,
        stop,
        lambda tally: stop.ask() if tally.events_sent >= 2_000 else None,
    )
    assert tally.acknowledged == tally.sent
    assert 2_000 <= tally.events_sent < 3_000
    assert count_of(kafka, topics.events) == tally.events_sent


def wait_for_acknowledged(sink: KafkaSink, count: int) -> None:
    def all_there() -> bool:
        sink.poll()
        return sink.tally.acknowledged[Kind.EVENT] == count

    wait_until(all_there)


@pytest.mark.faults
def test_a_broker_that_is_away_for_a_while_costs_nothing(kafka: str, topics: Topics) -> None:
    broker = broker_process(kafka)
    sink = KafkaSink(connect(kafka), topics, most_outstanding=1_000)
    values = [b'{"n":%d}' % number for number in range(5_000)]
    sink.send(block_of(values[:10]))
    wait_for_acknowledged(sink, 10)
    rest = [block_of(values[start : start + 500]) for start in range(10, 5_000, 500)]
    sending = threading.Thread(target=run, args=(rest, sink, Stop(), lambda _tally: None))
    broker.suspend()
    try:
        sending.start()
        wait_until(lambda: sink.tally.sent[Kind.EVENT] >= 510)
        assert sink.tally.acknowledged[Kind.EVENT] == 10
    finally:
        broker.resume()
    sending.join(60)
    assert not sending.is_alive()
    assert sink.tally.acknowledged[Kind.EVENT] == 5_000
    found = [value for records in consume(kafka, topics.events).values() for _, value in records]
    assert found == values


@pytest.mark.faults
def test_what_a_broker_never_acknowledges_is_reported_with_its_count(
    kafka: str, topics: Topics
) -> None:
    broker = broker_process(kafka)
    sink = KafkaSink(connect(kafka, delivery_seconds=3), topics, patience_seconds=5)
    sink.send(block_of([b"{}"]))
    wait_for_acknowledged(sink, 1)
    broker.suspend()
    try:
        # More than are sent before the first is acknowledged: some are on their way, others wait.
        tally = run([block_of([os.urandom(200_000)] * 25)], sink, Stop(), lambda _tally: None)
    finally:
        broker.resume()
    with pytest.raises(DeliveryError, match="25 of 26 records could not be delivered"):
        check_delivered(tally)


@pytest.mark.faults
def test_a_run_that_kafka_stalls_ends_by_saying_so(kafka: str, topics: Topics) -> None:
    broker = broker_process(kafka)
    producer = connect(kafka, delivery_seconds=3)
    sink = KafkaSink(producer, topics, most_outstanding=10, patience_seconds=5)
    sink.send(block_of([b"{}"]))
    wait_for_acknowledged(sink, 1)
    broker.suspend()
    try:
        blocks = [block_of([os.urandom(200_000)] * 10)] * 5
        with pytest.raises(ServiceUnavailableError, match="acknowledged nothing for 5 s"):
            run(blocks, sink, Stop(), lambda _tally: None)
    finally:
        broker.resume()


def encore(*arguments: str, home: Path, kafka: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "encore", *arguments],
        env=os.environ
        | {"ENCORE_HOME": str(home), "LOG_FORMAT": "json", "KAFKA_BOOTSTRAP_SERVERS": kafka},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_ends_a_live_run_cleanly_with_everything_acknowledged(
    kafka: str, isolated_settings: Path, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.json"
    before = count_of(kafka, "music.events") if _exists(kafka) else 0
    process = encore(
        "produce", "--history=0", "--rate=200", "--users=100", "--tracks=200",
        "--json", str(summary), home=isolated_settings,
    )  # fmt: skip
    try:
        wait_until(lambda: _exists(kafka) and count_of(kafka, "music.events") - before > 300)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    told = json.loads(summary.read_text())
    assert json.loads(out) == told
    assert told["acknowledged"] == told["sent"]
    assert told["failed"] == {}
    assert count_of(kafka, "music.events") - before == told["sent"]["music.events"]


def _exists(bootstrap: str) -> bool:
    from encore.topics import admin_client

    with admin_client(bootstrap) as admin:
        return "music.events" in admin.list_topics()


def test_a_broker_that_is_not_there_yet_is_waited_for_and_named(
    isolated_settings: Path,
) -> None:
    address = f"127.0.0.1:{free_port([])}"
    process = encore("produce", home=isolated_settings, kafka=address)
    try:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "waiting for Kafka" in line)
        assert address in told
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130


def test_the_logged_command_repeats_the_run_byte_for_byte(
    isolated_settings: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.ndjson", tmp_path / "second.ndjson"
    process = encore(
        "produce", "--history=2d", "--users=100", "--tracks=200", "--until=3s",
        "--live-from=2026-06-01T00:00:00Z", "--output", str(first), home=isolated_settings,
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    words = json.loads(out)["command"].split()
    assert words[0] == "encore"
    process = encore(*words[1:], "--output", str(second), home=isolated_settings)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes().splitlines()) > 1_800


def test_a_replay_reaches_kafka_with_every_line_counted(
    kafka: str, isolated_settings: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.json"
    row = {
        "userId": "39", "sessionId": 38, "itemInSession": 1, "page": "NextSong",
        "artist": "The Testers", "song": "Fixture Blues", "length": 200.5,
        "ts": 1_600_000_000_000, "level": "free",
    }  # fmt: skip
    log.write_bytes(orjson.dumps(row) + b"\n" + orjson.dumps(row | {"userId": ""}) + b"\n{\n")
    before = count_of(kafka, "music.events") if _exists(kafka) else 0
    process = encore("replay", str(log), "--format=eventsim", home=isolated_settings)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["replayed"]["lines"] == 3
    assert (told["replayed"]["not_json"], told["replayed"]["without_user"]) == (1, 1)
    assert count_of(kafka, "music.events") - before == 3
