"""The contract in Spark SQL: which records are accepted, and why the others are not."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from encore.events import EVENT_FIELDS, ITEM_FIELDS
from verification.parse import check, event_rules, parse

pytestmark = pytest.mark.spark

ARRIVED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ARRIVED_MS = 1_793_534_400_000
LISTEN: dict[str, Any] = {
    "event_id": "0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a11",
    "schema_version": 1,
    "event_type": "listen",
    "event_ts": ARRIVED_MS - 1_000,
    "user_id": "u1",
    "item_id": "t1",
    "duration_ms": 200_000,
    "ms_played": 150_000,
}
SOURCE = T.StructType(
    [
        T.StructField("key", T.BinaryType()),
        T.StructField("value", T.BinaryType()),
        T.StructField("partition", T.IntegerType()),
        T.StructField("offset", T.LongType()),
        T.StructField("arrived_at", T.TimestampType()),
    ]
)


def changed(**fields: Any) -> bytes:
    return json.dumps({**LISTEN, **fields}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in LISTEN.items() if key != name}).encode()


def judged(spark: SparkSession, values: list[bytes | None]) -> list[T.Row]:
    rows = [(b"u1", value, 0, offset, ARRIVED) for offset, value in enumerate(values)]
    records = spark.createDataFrame(rows, SOURCE)
    checked = check(parse(records, EVENT_FIELDS), EVENT_FIELDS, rules=event_rules(300_000))
    return checked.orderBy("offset").collect()


GOOD = {
    "as it is": changed(),
    "a field that nobody declared": changed(mood="happy", nested={"a": [1]}),
    "a newer schema version": changed(schema_version=9),
    "a null in an optional field": changed(city=None),
    "an identifier that is a number": changed(user_id=42),
    "white space around": b"  " + changed() + b"\n",
    "text with an escaped backslash before u0000": changed(city="\\u0000"),
    "text with an escaped backslash before ud800": changed(city="\\ud800"),
    "a surrogate pair": changed(city="\U0001f3b5\U0001f3b5"),
    "any script": changed(city="東京"),
    "exactly as far in the future as is tolerated": changed(event_ts=ARRIVED_MS + 300_000),
    "an event of 2018": changed(event_ts=1_541_105_830_796),
    "a page view without an item": changed(item_id=None, event_type="page_view", page="Home"),
}  # fmt: skip

BAD: dict[str, tuple[bytes | None, str, str | None]] = {
    "no value": (None, "empty", None),
    "an empty value": (b"", "empty", None),
    "a huge value": (changed(note="x" * 300_000), "too_large", None),
    "bytes that are no UTF-8": (b'{"user_id":"\xff"}', "invalid_utf8", None),
    "cut JSON": (changed()[:60], "malformed_json", None),
    "single quotes": (b"{'event_id': 'x'}", "malformed_json", None),
    "a bare NaN": (changed().replace(b"150000", b"NaN"), "malformed_json", None),
    "no object": (b'["listen"]', "malformed_json", None),
    "plain text": (b"hello", "malformed_json", None),
    "half a surrogate pair": (changed(city="\ud800"), "malformed_json", None),
    "the other half": (changed(city="x\udc00"), "malformed_json", None),
    "the wrong half first": (changed(city="\udc00\ud800"), "malformed_json", None),
    "half a pair behind a backslash": (changed(city="\\\ud800x"), "malformed_json", None),
    "half a pair in a name": (changed(**{"\udfff": 1}), "malformed_json", None),
    "text for a number": (changed(event_ts="yesterday"), "wrong_type", "event_ts"),
    "a fraction for a whole number": (changed(ms_played=1.5), "wrong_type", "ms_played"),
    "a number past 64 bits": (changed(ms_played=10**30), "wrong_type", "ms_played"),
    "a list for a number": (changed(schema_version=[1]), "wrong_type", "schema_version"),
    "no event_id": (without("event_id"), "missing", "event_id"),
    "a null user_id": (changed(user_id=None), "missing", "user_id"),
    "an empty user_id": (changed(user_id=""), "missing", "user_id"),
    "a listen without an item": (without("item_id"), "missing", "item_id"),
    "a listen without a length": (without("duration_ms"), "missing", "duration_ms"),
    "an event_id that is no UUID": (changed(event_id="e-1"), "not_allowed", "event_id"),
    "an unknown type": (changed(event_type="teleport"), "not_allowed", "event_type"),
    "an unknown level": (changed(level="gold"), "not_allowed", "level"),
    "seconds for milliseconds": (changed(event_ts=1_793_534_399), "out_of_range", "event_ts"),
    "the year 9999": (changed(event_ts=253_402_300_799_000), "out_of_range", "event_ts"),
    "negative time played": (changed(ms_played=-1), "out_of_range", "ms_played"),
    "a length of nothing": (changed(duration_ms=0), "out_of_range", "duration_ms"),
    "a latitude past the pole": (changed(lat=90.5), "out_of_range", "lat"),
    "a NUL in a text": (changed(city="a\x00b"), "forbidden_character", "city"),
    "an overlong identifier": (changed(item_id="x" * 129), "too_long", "item_id"),
    "an event from the future": (
        changed(event_ts=ARRIVED_MS + 300_001),
        "in_the_future",
        "event_ts",
    ),
}


def test_records_that_keep_the_contract_are_accepted(spark: SparkSession) -> None:
    rows = judged(spark, list(GOOD.values()))
    found = {name: row.reason for name, row in zip(GOOD, rows, strict=True)}
    assert found == dict.fromkeys(GOOD)


def test_each_breach_is_rejected_with_its_reason_and_field(spark: SparkSession) -> None:
    rows = judged(spark, [value for value, *_ in BAD.values()])
    found = {name: (row.reason, row.field) for name, row in zip(BAD, rows, strict=True)}
    assert found == {name: (reason, field) for name, (_, reason, field) in BAD.items()}


def test_a_rejected_record_keeps_its_bytes_and_no_fields(spark: SparkSession) -> None:
    (row,) = judged(spark, [changed(ms_played=-1)])
    assert (bytes(row.key), bytes(row.value)) == (b"u1", changed(ms_played=-1))
    assert (row.event_id, row.user_id, row.ms_played) == (None, None, None)


def test_an_accepted_record_has_its_fields_and_no_bytes(spark: SparkSession) -> None:
    (row,) = judged(spark, [changed(lat=48.2, country="AT")])
    assert (row.key, row.value) == (None, None)
    assert (row.event_type, row.item_id, row.ms_played, row.lat, row.country) == (
        "listen",
        "t1",
        150_000,
        48.2,
        "AT",
    )


def test_a_list_of_texts_is_checked_text_by_text(spark: SparkSession) -> None:
    good = {"item_id": "t1", "schema_version": 1, "title": "One", "genres": ["Rock", "Pop"]}
    values = [
        json.dumps(good).encode(),
        json.dumps({**good, "genres": ["Rock", "x" * 129]}).encode(),
        json.dumps({**good, "genres": "Rock"}).encode(),
    ]
    rows = [(b"t1", value, 0, offset, ARRIVED) for offset, value in enumerate(values)]
    checked = check(parse(spark.createDataFrame(rows, SOURCE), ITEM_FIELDS), ITEM_FIELDS)
    found = checked.orderBy("offset").collect()
    assert [(row.reason, row.field) for row in found] == [
        (None, None),
        ("too_long", "genres"),
        ("wrong_type", "genres"),
    ]
    assert found[0].genres == ["Rock", "Pop"]
