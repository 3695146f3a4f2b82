"""Rejected records sent again: the same bytes under the same key, each once, marked."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from kafka import KafkaConsumer, TopicPartition

from database.migrate import upgrade
from database.rejected import replay as replaying
from database.rejected.compose import Record
from database.rejected.edits import Edits
from database.rejected.replay import ByFilters, Replay
from database.rejected.rows import Filters
from database.rejected.sending import Delivered, sender
from encore.errors import DeliveryError, EncoreError, ServiceUnavailableError
from encore.events import Topics
from encore.stack.process import free_port
from encore.topics import end_offsets, topic_ids
from tests.programs import broker_process

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

pytestmark = pytest.mark.services

Found = list[tuple[bytes | None, bytes | None]]
EVENT = b'{"event_id":  "0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a11", "user_id":"u1","level":"gold"}'
NO_UTF8 = b"\xff\xfe{\x00"


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url)
    return database_url


@pytest.fixture
def cursor(url: str) -> "Iterator[Cursor]":
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as opened:
        connection.autocommit = True
        yield opened


def reject(
    cursor: "Cursor",
    topic: str,
    values: Sequence[tuple[bytes | None, bytes | None]],
    *,
    reason: str = "not_allowed",
    field: str | None = "level",
    topic_id: str = "id-1",
    first: int = 0,
) -> None:
    """Insert rejected records, key and value, at the offsets from ``first`` on."""
    for number, (key, raw) in enumerate(values, start=first):
        cursor.execute(
            'INSERT INTO rejected_events (topic, topic_id, partition, "offset", reason, field, '
            "key, raw, arrived_at) VALUES (%s, %s, 0, %s, %s, %s, %s, %s, now())",
            (topic, topic_id, number, reason, field, key, raw),
        )


def read_back(bootstrap: str, topic: str) -> dict[str, tuple[bytes | None, bytes | None]]:
    """Return key and value of every record, by partition/offset."""
    ends = {part: end for (_, part), end in end_offsets(bootstrap, [topic]).items()}
    parts = {part: TopicPartition(topic, part) for part in ends}
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    found: dict[str, tuple[bytes | None, bytes | None]] = {}
    try:
        consumer.assign(list(parts.values()))
        consumer.seek_to_beginning(*parts.values())
        deadline = time.monotonic() + 60
        while any(consumer.position(parts[part]) < ends[part] for part in ends):
            assert time.monotonic() < deadline, "not everything could be read back"
            for messages in consumer.poll(timeout_ms=500).values():
                for one in messages:
                    found[f"{one.partition}/{one.offset}"] = (one.key, one.value)
    finally:
        consumer.close()
    return found


def marks(cursor: "Cursor") -> dict[int, str | None]:
    """Return where each row was sent, by its offset."""
    cursor.execute('SELECT "offset", replayed_to, replayed_at FROM rejected_events ORDER BY 1')
    found = cursor.fetchall()
    assert all((to is None) == (at is None) for _, to, at in found)
    return {offset: to for offset, to, _ in found}


def rejected(
    *arguments: str, url: str, kafka: str = "", fails: int = 0
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "encore", "rejected", *arguments],
        env=os.environ | {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": kafka},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == fails, done.stderr
    assert "Traceback" not in done.stderr
    return done


def replay(*arguments: str, url: str, kafka: str, fails: int = 0) -> dict[str, Any]:
    told = rejected("replay", "--yes", *arguments, url=url, kafka=kafka, fails=fails).stdout
    summary = json.loads(told)
    assert isinstance(summary, dict)
    return summary


def test_the_bytes_come_back_to_kafka_under_their_key_once(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    sent: Found = [(b"u1", EVENT), (b"\xff", NO_UTF8), (None, b'{"user_id":"u2"}'), (None, b"x")]
    reject(cursor, topics.events, sent)
    told = replay(url=url, kafka=kafka)
    assert told == {
        "sent": 4, "acknowledged": 4, "marked": 4, "skipped": {}, "failed": {}, "left": 0
    }  # fmt: skip
    sent[2] = (b"u2", sent[2][1])
    found = read_back(kafka, topics.events)
    assert {to: sent[offset] for offset, to in marks(cursor).items() if to} == found
    again = replay(url=url, kafka=kafka)
    assert again["sent"] == 0
    assert again["skipped"] == {"already replayed": 4}
    assert read_back(kafka, topics.events) == found


def test_filters_and_the_limit_choose_what_is_sent(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    reject(cursor, topics.events, [(b"u1", b"1"), (b"u1", b"2")], reason="missing", field="page")
    reject(cursor, topics.events, [(b"u1", b"3")], first=2)
    reject(cursor, topics.items, [(b"t1", b"{}")], reason="missing", field="title", first=9)
    chosen = ("--reason=missing", "--field=page", f"--topic={topics.events}", "--since=1h")
    assert replay(*chosen, "--limit=1", url=url, kafka=kafka)["sent"] == 1
    assert [offset for offset, to in marks(cursor).items() if to] == [0]
    assert replay(*chosen, url=url, kafka=kafka)["sent"] == 1
    values = [value for _, value in read_back(kafka, topics.events).values()]
    assert values == [b"1", b"2"]
    assert read_back(kafka, topics.items) == {}


def test_fields_are_set_and_dropped_on_the_way(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    reject(cursor, topics.events, [(b"u1", EVENT), (b"u1", NO_UTF8)])
    told = replay('--set=level="free"', "--drop=event_id", url=url, kafka=kafka)
    assert told["sent"] == told["marked"] == 1
    assert list(told["skipped"].values()) == [1]
    ((key, value),) = read_back(kafka, topics.events).values()
    assert key == b"u1"
    assert json.loads(value or b"") == {"user_id": "u1", "level": "free"}
    assert marks(cursor)[1] is None


def test_a_dry_run_sends_and_marks_nothing_and_needs_no_kafka(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    reject(cursor, topics.events, [(b"u1", EVENT), (b"u1", None)])
    done = rejected("replay", "--dry-run", '--set=level="free"', url=url, kafka="127.0.0.1:1")
    assert json.loads(done.stdout) == {"would_send": 1, "skipped": {"has no value": 1}}
    assert 'key u1: {"event_id":"0d6b1f60' in done.stderr
    assert read_back(kafka, topics.events) == {}
    assert set(marks(cursor).values()) == {None}


def test_records_without_a_value_never_reach_a_compacted_topic(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    for topic in topics.all():
        reject(cursor, topic, [(b"t1", None), (b"t1", b"")], reason="empty", field=None)
    told = replay(url=url, kafka=kafka)
    assert told["sent"] == 0
    assert told["skipped"] == {"has no value": 6}
    for topic in topics.all():
        assert read_back(kafka, topic) == {}


def test_an_entity_does_not_go_back_behind_a_newer_version(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    cursor.execute(
        "INSERT INTO items (item_id, title, updated_at) VALUES "
        "('t1', 'New', '2026-01-01+00'), ('t2', 'Same', '2026-01-01 00:00:00.001+00')"
    )
    at = 1_767_225_600_000  # 2026-01-01
    values: Found = [
        (b"t1", b'{"item_id":"t1","updated_ts":%d}' % (at - 1)),
        (b"t1", b'{"item_id":"t1"}'),
        (b"t2", b'{"item_id":"t2","updated_ts":%d}' % (at + 1)),
        (b"t3", b'{"item_id":"t3"}'),
    ]
    reject(cursor, topics.items, values)
    told = replay(url=url, kafka=kafka)
    assert told["sent"] == 2
    assert sum(told["skipped"].values()) == 2
    assert {key for key, _ in read_back(kafka, topics.items).values()} == {b"t2", b"t3"}
    assert replay(f"--set=updated_ts={at}", "--limit=1", url=url, kafka=kafka)["sent"] == 1


def test_an_edited_file_is_sent_in_place_of_the_rows_it_names(
    kafka: str, topics: Topics, url: str, cursor: "Cursor", tmp_path: Path
) -> None:
    reject(cursor, topics.events, [(b"u1", EVENT), (b"u1", NO_UTF8), (b"u3", b"stays")])
    lines = rejected("list", "--json", "--limit=2", url=url).stdout.splitlines()
    edited = json.loads(lines[0]) | {"raw": '{"user_id":"u9"}'}
    file = tmp_path / "edited.ndjson"
    file.write_text("\n".join([json.dumps(edited), "", lines[1]]))
    assert replay(f"--from={file}", url=url, kafka=kafka)["marked"] == 2
    expected = {(b"u9", b'{"user_id":"u9"}'), (b"u1", NO_UTF8)}
    assert set(read_back(kafka, topics.events).values()) == expected
    assert marks(cursor)[2] is None
    again = replay(f"--from={file}", url=url, kafka=kafka)
    assert again["sent"] == 0
    assert again["skipped"] == {"already replayed": 2}


def test_a_file_with_a_wrong_line_sends_nothing(
    kafka: str, topics: Topics, url: str, cursor: "Cursor", tmp_path: Path
) -> None:
    reject(cursor, topics.events, [(b"u1", EVENT)])
    reject(cursor, topics.events, [(b"u1", EVENT)], topic_id="id-2")
    bare = {"topic": topics.events, "partition": 0, "offset": 0}
    exact = bare | {"topic_id": "id-1"}
    file = tmp_path / "edited.ndjson"
    wrong: list[tuple[dict[str, Any], str]] = [
        (bare | {"offset": 7}, f"line 2: there is no rejected record at {topics.events}/0/7"),
        (exact | {"topic_id": "id-3"}, "line 2: there is no rejected record"),
        (exact, "line 2: line 1 names"),
        (bare, "give topic_id, one of id-1, id-2"),
    ]
    for line, problem in wrong:
        file.write_text(f"{json.dumps(exact)}\n{json.dumps(line)}\n")
        told = rejected("replay", "--yes", f"--from={file}", url=url, kafka=kafka, fails=1)
        assert problem in told.stderr
    assert read_back(kafka, topics.events) == {}
    file.write_text(f"{json.dumps(exact)}\n{json.dumps(exact | {'topic_id': 'id-2'})}\n")
    assert replay(f"--from={file}", url=url, kafka=kafka)["marked"] == 2


def test_a_broker_that_is_away_is_told_and_nothing_is_marked(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    reject(cursor, topics.events, [(b"u1", EVENT)])
    away = f"127.0.0.1:{free_port([])}"
    told = rejected("replay", "--yes", url=url, kafka=away, fails=ServiceUnavailableError.exit_code)
    assert f"Kafka does not answer at {away}" in told.stderr
    assert marks(cursor) == {0: None}


@pytest.mark.faults
def test_a_broker_that_goes_silent_leaves_its_records_unmarked(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    # As large as a batch each: some are on their way when the broker falls silent, others wait.
    reject(cursor, topics.events, [(b"u1", os.urandom(40_000)) for _ in range(30)])
    broker = broker_process(kafka)
    with sender(kafka, 3) as open_sender, closing(psycopg2.connect(url)) as connection:
        first = ByFilters(Filters(), limit=2)
        assert run(connection, first, open_sender.deliver).marked == 2
        broker.suspend()
        try:
            tally = run(connection, ByFilters(Filters()), open_sender.deliver)
        finally:
            broker.resume()
    assert (tally.acknowledged, tally.marked, tally.failed.total()) == (0, 0, 28)
    with pytest.raises(DeliveryError, match="28 of 28 records could not be delivered"):
        replaying.check_delivered(tally)
    assert [to is None for to in marks(cursor).values()] == [False] * 2 + [True] * 28


def run(connection: Any, selection: ByFilters, deliver: Any) -> replaying.Tally:
    with connection, connection.cursor() as cursor:
        meant = selection.meant(cursor)
    return Replay(connection, selection, Edits(), deliver).run(meant)


def test_a_record_that_is_too_large_does_not_hold_up_the_others(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    huge = os.urandom(17_000_000)
    reject(cursor, topics.events, [(b"u1", b"1"), (b"u1", huge), (b"u1", b"2")])
    told = replay(url=url, kafka=kafka, fails=DeliveryError.exit_code)
    assert told["marked"] == 2
    assert told["failed"] == {"MessageSizeTooLargeError": 1}
    assert marks(cursor)[1] is None


def test_two_replays_at_once_send_every_record_once(
    kafka: str, topics: Topics, url: str, cursor: "Cursor", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "BATCH_ROWS", 7)
    reject(cursor, topics.events, [(b"u1", b"%d" % number) for number in range(100)])
    together = Barrier(2)

    def one() -> replaying.Tally:
        with sender(kafka, 30) as open_sender, closing(psycopg2.connect(url)) as connection:
            together.wait(30)
            return run(connection, ByFilters(Filters()), open_sender.deliver)

    with ThreadPoolExecutor(2) as pool:
        tallies = [future.result() for future in [pool.submit(one), pool.submit(one)]]
    assert sum(tally.marked for tally in tallies) == 100
    values = [value for _, value in read_back(kafka, topics.events).values()]
    assert sorted(values) == sorted(b"%d" % number for number in range(100))  # type: ignore[type-var]


def test_what_is_rejected_again_meanwhile_is_not_sent_for_ever(
    kafka: str, topics: Topics, url: str, cursor: "Cursor", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "BATCH_ROWS", 2)
    reject(cursor, topics.events, [(b"u1", b"{")] * 5)
    offset = 5

    def reject_again(records: Sequence[Record]) -> Delivered:
        nonlocal offset
        delivered = Delivered()
        for record in records:
            reject(cursor, topics.events, [(record.key, record.value)], first=offset)
            delivered.to[record.place] = f"0/{offset}"
            offset += 1
        return delivered

    with closing(psycopg2.connect(url)) as connection:
        assert run(connection, ByFilters(Filters()), reject_again).marked == 5
    assert list(marks(cursor).values()) == ["0/5", "0/6", "0/7", "0/8", "0/9", *[None] * 5]


def test_a_topic_made_anew_is_warned_of_and_one_that_is_gone_refused(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    now = topic_ids(kafka, [topics.events])[topics.events]
    reject(cursor, topics.events, [(b"u1", b"old")])
    told = rejected("replay", "--yes", url=url, kafka=kafka)
    assert "made anew" in told.stderr
    reject(cursor, topics.events, [(b"u1", b"now")], topic_id=now)
    told = rejected("replay", "--yes", url=url, kafka=kafka)
    assert "made anew" not in told.stderr
    reject(cursor, "gone.events", [(b"u1", b"x")])
    told = rejected("replay", "--yes", url=url, kafka=kafka, fails=1)
    assert "Kafka has no topic gone.events" in told.stderr


def test_nothing_is_sent_where_nobody_can_be_asked(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    reject(cursor, topics.events, [(b"u1", EVENT)])
    told = rejected("replay", url=url, kafka=kafka, fails=EncoreError.exit_code)
    assert "Send 1 records to" in told.stderr
    assert "--yes" in told.stderr
    assert read_back(kafka, topics.events) == {}


def test_the_list_counts_by_topic_reason_and_field(url: str, cursor: "Cursor") -> None:
    reject(cursor, "music.events", [(b"u1", EVENT)] * 3)
    reject(cursor, "music.events", [(b"u1", NO_UTF8)], reason="invalid_utf8", field=None, first=3)
    cursor.execute(
        "UPDATE rejected_events SET replayed_at = now(), replayed_to = '1/2' WHERE \"offset\" = 0"
    )
    table = [line.split("│")[1:-1] for line in rejected("list", url=url).stdout.splitlines()]
    cells = [[cell.strip() for cell in line] for line in table if line]
    assert [line[:4] for line in cells] == [
        ["music.events", "not_allowed", "level", "2"],
        ["music.events", "invalid_utf8", "", "1"],
    ]
    assert "\\xff\\xfe{\\x00" in rejected("list", "--rows", "--all", url=url).stdout
    every = rejected("list", "--json", "--all", url=url).stdout.splitlines()
    assert [json.loads(line)["replayed_to"] for line in every] == ["1/2", None, None, None]
    none = rejected("list", "--reason=empty", url=url).stdout
    assert none == "there are no such rejected records\n"


def test_one_record_is_shown_with_what_the_contract_says(url: str, cursor: "Cursor") -> None:
    reject(cursor, "music.events", [(b"u1", EVENT)])
    shown = rejected("show", "music.events/0/0", url=url).stdout
    assert "contract  level: text; required of subscription_change; free, paid" in shown
    assert '  "level": "gold"' in shown
    told = rejected("show", "music.events/0/1", url=url, fails=EncoreError.exit_code)
    assert "there is no rejected record at music.events/0/1" in told.stderr


def test_a_database_without_the_newest_schema_is_told(database_url: str) -> None:
    told = rejected("list", url=database_url, fails=EncoreError.exit_code)
    assert "encore migrate" in told.stderr


def test_what_was_sent_but_not_marked_is_sent_again(
    kafka: str, topics: Topics, url: str, cursor: "Cursor"
) -> None:
    reject(cursor, topics.events, [(b"u1", EVENT)])

    def die_after(records: Sequence[Record]) -> Delivered:
        open_sender.deliver(records)
        raise KeyboardInterrupt

    with sender(kafka, 30) as open_sender, closing(psycopg2.connect(url)) as connection:
        with pytest.raises(KeyboardInterrupt):
            run(connection, ByFilters(Filters()), die_after)
        assert marks(cursor) == {0: None}
        assert run(connection, ByFilters(Filters()), open_sender.deliver).marked == 1
    assert list(read_back(kafka, topics.events).values()) == [(b"u1", EVENT)] * 2


def test_a_stop_finishes_the_batch_at_hand_and_tells_what_is_left(
    url: str, cursor: "Cursor", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "BATCH_ROWS", 2)
    reject(cursor, "music.events", [(b"u1", b"{")] * 5)

    def interrupted(records: Sequence[Record]) -> Delivered:
        os.kill(os.getpid(), signal.SIGTERM)
        delivered = Delivered()
        delivered.to = {record.place: "0/9" for record in records}
        return delivered

    with closing(psycopg2.connect(url)) as connection, replaying.stopping_on_signals() as stopped:
        selection = ByFilters(Filters())
        with connection, connection.cursor() as own:
            meant = selection.meant(own)
        tally = Replay(connection, selection, Edits(), interrupted).run(meant, stopped)
    assert (tally.marked, tally.left) == (2, 3)
