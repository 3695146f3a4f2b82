"""Everything the producer emits keeps the contract, and what is malformed breaks it."""

import re
from collections import Counter
from typing import Any

import numpy as np
import orjson
import pytest

from encore.events import (
    EVENT_FIELDS,
    EVENT_TYPE_NAMES,
    EVENT_TYPES,
    ITEM_FIELDS,
    MAX_RECORD_BYTES,
    USER_FIELDS,
    Field,
    Kind,
    Reason,
)
from producer.malformed import spoil
from producer.plan import Plan
from producer.records import Kind as RecordKind
from producer.stream import Stream

LIVE_FROM_MS = 1_780_272_000_000
YEAR_2080_MS = 3_471_292_800_000
PLAN = Plan(
    live_from_ms=LIVE_FROM_MS,
    history_ms=14 * 86_400_000,
    users=800,
    tracks=3_000,
    until_ms=LIVE_FROM_MS + 20_000,
    malformed=0.02,
)
REQUIRES = {one.name: one.requires for one in EVENT_TYPES}
GOOD_EVENT = {
    "event_id": "6d0c1c0e-6f5d-4d6a-9f0b-3b8f6d1f2a47",
    "schema_version": 1,
    "event_type": "listen",
    "event_ts": 1_780_000_000_000,
    "produced_ts": 1_780_000_000_040,
    "user_id": "u1",
    "session_id": "s1-1",
    "item_id": "t1",
    "duration_ms": 200_000,
    "ms_played": 200_000,
    "device": "phone",
    "city": "Lyon",
    "country": "FR",
    "lat": 45.764,
    "lon": 4.836,
    "level": "free",
}


def broken_by(field: Field, value: object) -> Reason | None:
    """Judge one field by its declaration."""
    if value is None:
        return Reason.MISSING if field.required else None
    if field.kind is Kind.TEXTS:
        right = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return None if right else Reason.WRONG_TYPE
    if field.kind is Kind.TEXT:
        return _broken_text(field, value)
    numeric = (int, float) if field.kind is Kind.NUMBER else (int,)
    if not isinstance(value, numeric) or isinstance(value, bool):
        return Reason.WRONG_TYPE
    low = field.minimum is not None and value < field.minimum
    high = field.maximum is not None and value > field.maximum
    return Reason.OUT_OF_RANGE if low or high else None


def _broken_text(field: Field, value: object) -> Reason | None:
    if not isinstance(value, str):
        return Reason.WRONG_TYPE
    if "\x00" in value:
        return Reason.FORBIDDEN_CHARACTER
    if field.choices and value not in field.choices:
        return Reason.NOT_ALLOWED
    if len(value) > field.max_length:
        return Reason.TOO_LONG
    if field.pattern and not re.fullmatch(field.pattern, value):
        return Reason.NOT_ALLOWED
    return None


def event_broken_by(value: bytes) -> Reason | None:
    """Judge an event as the contract words it."""
    if not value:
        return Reason.EMPTY
    if len(value) > MAX_RECORD_BYTES:
        return Reason.TOO_LARGE
    try:
        value.decode()
    except UnicodeDecodeError:
        return Reason.INVALID_UTF8
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError:
        return Reason.MALFORMED_JSON
    for field in EVENT_FIELDS:
        reason = broken_by(field, event.get(field.name))
        if reason is not None:
            return reason
    if event["event_ts"] > YEAR_2080_MS:
        return Reason.IN_THE_FUTURE
    missing = [name for name in REQUIRES[event["event_type"]] if event.get(name) is None]
    return Reason.MISSING if missing else None


@pytest.fixture(scope="module")
def records() -> list[tuple[RecordKind, bytes, bytes]]:
    return [
        (RecordKind(kind), key or b"", value)
        for block in Stream(PLAN).blocks()
        for kind, key, value in zip(block.kinds, block.keys, block.values, strict=True)
    ]


def test_every_good_event_keeps_the_contract(
    records: list[tuple[RecordKind, bytes, bytes]],
) -> None:
    good = [value for kind, _, value in records if kind <= RecordKind.DUPLICATE]
    assert len(good) > 30_000
    assert [value for value in good if event_broken_by(value) is not None] == []


def test_every_malformed_record_breaks_the_contract(
    records: list[tuple[RecordKind, bytes, bytes]],
) -> None:
    malformed = [value for kind, _, value in records if kind is RecordKind.MALFORMED]
    assert len(malformed) > 500
    assert [value for value in malformed if event_broken_by(value) is None] == []


def test_malformed_records_are_rejected_for_the_reason_they_were_made_for() -> None:
    good = [orjson.dumps(GOOD_EVENT)] * 2_000
    ids = ["00000000-0000-4000-8000-000000000000"] * 2_000
    spoiled = spoil(good, ids, np.random.default_rng(1))
    wrong = [(reason, value) for reason, value in spoiled if event_broken_by(value) is not reason]
    assert wrong == []
    assert {reason for reason, _ in spoiled} == set(Reason)


def test_events_carry_declared_fields_only(
    records: list[tuple[RecordKind, bytes, bytes]],
) -> None:
    declared = {field.name for field in EVENT_FIELDS}
    carried: set[str] = set()
    for kind, _, value in records:
        if kind <= RecordKind.DUPLICATE:
            carried |= set(orjson.loads(value))
    assert carried == declared - {"position", "source", "model_run_id", "variant"}


def test_events_are_keyed_by_their_user(records: list[tuple[RecordKind, bytes, bytes]]) -> None:
    for kind, key, value in records:
        if kind <= RecordKind.DUPLICATE:
            assert orjson.loads(value)["user_id"].encode() == key


def test_every_type_of_event_occurs(records: list[tuple[RecordKind, bytes, bytes]]) -> None:
    types: Counter[str] = Counter(
        orjson.loads(value)["event_type"]
        for kind, _, value in records
        if kind <= RecordKind.DUPLICATE
    )
    assert set(types) == set(EVENT_TYPE_NAMES) - {"impression"}  # nobody gave it lists to show


@pytest.mark.parametrize(
    ("kind", "fields", "key_name"),
    [(RecordKind.USER, USER_FIELDS, "user_id"), (RecordKind.ITEM, ITEM_FIELDS, "item_id")],
)
def test_every_entity_is_complete_and_keeps_the_contract(
    records: list[tuple[RecordKind, bytes, bytes]],
    kind: RecordKind,
    fields: tuple[Field, ...],
    key_name: str,
) -> None:
    names = {field.name for field in fields}
    entities: list[tuple[bytes, dict[str, Any]]] = [
        (key, orjson.loads(value)) for one, key, value in records if one is kind
    ]
    assert len(entities) >= 800
    for key, entity in entities:
        assert set(entity) == names
        assert entity[key_name].encode() == key
        assert [one.name for one in fields if broken_by(one, entity[one.name])] == []
