"""The stream: reproducible, in order, with the shares asked for, entities before their use."""

import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from encore.errors import EncoreError
from producer.plan import Plan
from producer.records import Kind, RecordBlock
from producer.stream import Stream

LIVE_FROM_MS = 1_780_272_000_000
PLAN = Plan(
    live_from_ms=LIVE_FROM_MS,
    history_ms=14 * 86_400_000,
    users=1_000,
    tracks=3_000,
    until_ms=LIVE_FROM_MS + 30_000,
)
SMALL = replace(PLAN, users=200, tracks=500, until_ms=LIVE_FROM_MS + 5_000)
DIGEST = """
import hashlib
from producer.plan import Plan
from producer.stream import Stream
digest = hashlib.sha256()
plan = Plan(live_from_ms=1780272000000, history_ms=1209600000, users=200, tracks=500,
            until_ms=1780272005000)
for block in Stream(plan).blocks():
    for key, value in zip(block.keys, block.values):
        digest.update(key + value)
print(digest.hexdigest())
"""


def digest_of(plan: Plan) -> str:
    digest = hashlib.sha256()
    for block in Stream(plan).blocks():
        for key, value in zip(block.keys, block.values, strict=True):
            digest.update((key or b"") + value)
    return digest.hexdigest()


def flatten(blocks: list[RecordBlock]) -> Iterator[tuple[Kind, bytes, bytes, int, bool]]:
    for block in blocks:
        rows = zip(block.kinds, block.keys, block.values, block.due.tolist(), strict=True)
        for kind, key, value, due in rows:
            yield Kind(kind), key or b"", value, due, block.live


@pytest.fixture(scope="module")
def blocks() -> list[RecordBlock]:
    return list(Stream(PLAN).blocks())


@pytest.fixture(scope="module")
def events(blocks: list[RecordBlock]) -> list[tuple[Kind, dict[str, Any]]]:
    """Good events in order, without duplicates."""
    return [
        (kind, orjson.loads(value))
        for kind, _, value, _, _ in flatten(blocks)
        if kind in (Kind.EVENT, Kind.LATE)
    ]


def test_two_processes_make_the_same_bytes() -> None:
    root = Path(__file__).resolve().parents[2]
    runs = [
        subprocess.run(
            [sys.executable, "-c", DIGEST], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert runs[0] == runs[1] == digest_of(SMALL)


def test_another_seed_makes_other_bytes() -> None:
    assert digest_of(SMALL) != digest_of(replace(SMALL, seed=8))


def test_a_longer_run_begins_with_the_same_records() -> None:
    short = [row[2] for row in flatten(list(Stream(SMALL).blocks()))]
    longer = replace(SMALL, until_ms=LIVE_FROM_MS + 8_000)
    long = [row[2] for row in flatten(list(Stream(longer).blocks()))]
    assert len(long) > len(short)
    assert long[: len(short)] == short


def test_a_later_start_with_the_same_seed_repeats_no_event_id() -> None:
    later = replace(
        SMALL, live_from_ms=LIVE_FROM_MS + 60_000, history_ms=0, until_ms=LIVE_FROM_MS + 65_000
    )
    ids = [
        {
            orjson.loads(value)["event_id"]
            for kind, _, value, _, _ in flatten(list(Stream(plan).blocks()))
            if kind is Kind.EVENT
        }
        for plan in (SMALL, later)
    ]
    assert ids[0] & ids[1] == set()


def test_event_ids_are_unique_but_for_duplicates(
    events: list[tuple[Kind, dict[str, Any]]],
) -> None:
    ids = [event["event_id"] for _, event in events]
    assert len(set(ids)) == len(ids)


def test_a_duplicate_is_the_same_bytes_some_records_later(blocks: list[RecordBlock]) -> None:
    seen: set[bytes] = set()
    duplicates = 0
    for kind, _, value, _, _ in flatten(blocks):
        if kind is Kind.DUPLICATE:
            assert value in seen
            duplicates += 1
        elif kind in (Kind.EVENT, Kind.LATE):
            seen.add(value)
    assert duplicates > 100


def test_the_order_within_a_user_is_kept(events: list[tuple[Kind, dict[str, Any]]]) -> None:
    last: dict[str, int] = {}
    for kind, event in events:
        if kind is Kind.EVENT:
            assert event["event_ts"] >= last.get(event["user_id"], 0)
            last[event["user_id"]] = event["event_ts"]


def test_events_are_handed_over_in_the_order_of_the_stream(
    events: list[tuple[Kind, dict[str, Any]]],
) -> None:
    handed = np.array([event["produced_ts"] for _, event in events])
    assert (np.diff(handed) >= 0).all()


def test_an_event_is_handed_over_soon_after_it_happened_unless_it_is_late(
    events: list[tuple[Kind, dict[str, Any]]],
) -> None:
    for kind, event in events:
        delay = event["produced_ts"] - event["event_ts"]
        if kind is Kind.LATE:
            assert 11 * 60_000 <= delay <= 6 * 3_600_000 + 120
        else:
            assert 0 < delay <= 121


def test_shares_are_those_asked_for(blocks: list[RecordBlock]) -> None:
    counts: Counter[Kind] = sum((block.counts() for block in blocks), Counter())
    good = counts[Kind.EVENT] + counts[Kind.LATE]
    assert counts[Kind.LATE] == pytest.approx(0.01 * good, abs=2)
    assert counts[Kind.DUPLICATE] == pytest.approx(0.005 * good, abs=5)
    assert counts[Kind.MALFORMED] == pytest.approx(0.001 * good, abs=2)


def test_users_and_items_are_announced_before_the_first_event_that_needs_them(
    blocks: list[RecordBlock],
) -> None:
    known: set[bytes] = set()
    for kind, key, value, _, _ in flatten(blocks):
        if not kind.is_event:
            known.add(key)
        elif kind is not Kind.MALFORMED:
            event = orjson.loads(value)
            assert event["user_id"].encode() in known
            assert event.get("item_id", "").encode() in known | {b""}


def test_new_users_and_tracks_arrive_in_the_history_and_live() -> None:
    entities = Counter(
        (kind, live)
        for block in Stream(replace(PLAN, rate=2_000)).blocks()
        for kind, live in [(Kind(kind), block.live) for kind in block.kinds.tolist()]
        if not kind.is_event
    )
    assert entities[Kind.USER, False] > 950
    assert entities[Kind.USER, True] > 0
    assert entities[Kind.ITEM, True] > 0


def test_nobody_acts_before_they_register(blocks: list[RecordBlock]) -> None:
    registered: dict[str, int] = {}
    for kind, key, value, _, _ in flatten(blocks):
        if kind is Kind.USER:
            registered[key.decode()] = orjson.loads(value)["registered_ts"]
        elif kind is Kind.EVENT:
            event = orjson.loads(value)
            assert event["event_ts"] >= registered[event["user_id"]] - 121


def test_a_change_of_level_sends_the_user_again(blocks: list[RecordBlock]) -> None:
    rows = list(flatten(blocks))
    changes = 0
    for index, (kind, key, value, _, _) in enumerate(rows):
        if kind in (Kind.EVENT, Kind.LATE):
            event = orjson.loads(value)
            if event["event_type"] == "subscription_change":
                changes += 1
                following = next(row for row in rows[index + 1 :] if row[0] is Kind.USER)
                assert following[1] == key
                assert orjson.loads(following[2])["level"] == event["level"]
    assert changes > 0


def test_the_level_changes_only_by_a_subscription_change(
    events: list[tuple[Kind, dict[str, Any]]],
) -> None:
    level: dict[str, str] = {}
    for kind, event in events:
        if kind is Kind.LATE:
            continue
        if event["event_type"] != "subscription_change":
            assert event["level"] == level.get(event["user_id"], event["level"])
        level[event["user_id"]] = event["level"]


def test_the_history_ends_where_live_begins(blocks: list[RecordBlock]) -> None:
    history = np.concatenate([block.due for block in blocks if not block.live])
    live = np.concatenate([block.due for block in blocks if block.live])
    assert history.min() >= PLAN.begin_ms
    assert history.max() < LIVE_FROM_MS <= live.min()


def test_the_nth_live_record_is_due_on_the_nth_tick_of_the_rate(
    blocks: list[RecordBlock],
) -> None:
    due = np.concatenate(
        [block.due[block.kinds <= Kind.MALFORMED] for block in blocks if block.live]
    )
    assert len(due) == 500 * 30
    assert (due == LIVE_FROM_MS + np.arange(len(due)) * 2).all()


def test_only_history_is_sent_when_the_end_is_where_live_begins() -> None:
    blocks = list(Stream(replace(SMALL, until_ms=LIVE_FROM_MS)).blocks())
    assert sum(len(block) for block in blocks if block.live) == 0
    assert sum(len(block) for block in blocks) > 5_000


def test_it_ends_after_the_number_of_events_asked_for() -> None:
    stream = Stream(replace(SMALL, until_ms=None, max_events=1_234))
    counts: Counter[Kind] = sum((block.counts() for block in stream.blocks()), Counter())
    assert sum(count for kind, count in counts.items() if kind.is_event) == 1_234


def test_the_history_can_be_sized_by_its_events() -> None:
    plan = replace(PLAN, until_ms=LIVE_FROM_MS, history_events=60_000)
    events = sum(len(block) for block in Stream(plan).blocks(entities=False))
    assert events == pytest.approx(60_000, rel=0.15)


def test_without_entities_the_events_are_the_same() -> None:
    with_them = [row[2] for row in flatten(list(Stream(SMALL).blocks())) if row[0].is_event]
    without = [row[2] for row in flatten(list(Stream(SMALL).blocks(entities=False)))]
    assert without == with_them


def test_a_single_user_and_a_single_track_are_enough() -> None:
    plan = replace(SMALL, users=1, tracks=1, rate=50)
    assert sum(len(block) for block in Stream(plan).blocks() if block.live) >= 250


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"users": 0}, "--users 0"),
        ({"rate": 0.0}, "--rate 0.0"),
        ({"late": 0.9}, "--late 0.9"),
        ({"max_events": 0}, "--max-events 0"),
        ({"live_from_ms": 0}, "time axis"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(change: dict[str, Any], words: str) -> None:
    with pytest.raises(EncoreError, match=words):
        replace(PLAN, **change)
