"""Which records are accepted, and for which reason the others are not."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from encore.events import EVENT_FIELDS, ITEM_FIELDS, USER_FIELDS
from encore.judge import BreachError, Judge
from streaming.event_rules import event_rules
from streaming.records import Decoded, Decoder
from tests import oracle

ARRIVED_MS = 1_793_534_400_000  # 2026-11-01 12:00 UTC
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
ITEM = {"item_id": "t1", "schema_version": 1, "title": "One"}
SOURCE = pa.schema(
    [
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("arrived_ms", pa.int64()),
    ]
)
RULES = event_rules(300_000)
EVENTS = Decoder(EVENT_FIELDS, RULES)


def changed(**fields: Any) -> bytes:
    return json.dumps({**LISTEN, **fields}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in LISTEN.items() if key != name}).encode()


def written(name: str, json_text: bytes) -> bytes:
    """Return the listen with one more field, as given to the letter."""
    return changed()[:-1] + b', "' + name.encode() + b'": ' + json_text + b"}"


def batch(values: Sequence[bytes | None], *, key: bytes | None = b"u1") -> pa.RecordBatch:
    rows = [
        {"key": key, "value": value, "partition": 3, "offset": offset, "arrived_ms": ARRIVED_MS}
        for offset, value in enumerate(values, start=100)
    ]
    return pa.RecordBatch.from_pylist(rows, SOURCE)


def decoded(values: Sequence[bytes | None], decoder: Decoder = EVENTS) -> Decoded:
    return decoder.decode(batch(values))


def reasons(found: Decoded) -> dict[int, tuple[str, str | None]]:
    return {one.offset: (one.breach.reason.value, one.breach.field) for one in found.rejected}


def offsets(found: Decoded) -> list[int]:
    return [int(one) for one in found.accepted.column("offset").to_pylist()]


GOOD = {
    "as it is": changed(),
    "a field that nobody declared": changed(mood="happy", nested={"a": [1]}),
    "a newer schema version": changed(schema_version=9),
    "a null in an optional field": changed(city=None),
    "an identifier that is a number": changed(user_id=42),
    "white space around": b"  " + changed() + b"\n",
    "text with an escaped backslash before u0000": changed(city="\\u0000"),
    "any script": changed(city="東京"),
    "any script, not escaped": written("city", '"東京🎵"'.encode()),
    "empty text in an optional field": changed(city=""),
    "exactly as far in the future as is tolerated": changed(event_ts=ARRIVED_MS + 300_000),
    "an event of 2018": changed(event_ts=1_541_105_830_796),
    "a page view without an item": changed(item_id=None, event_type="page_view", page="Home"),
    "the longest identifier": changed(item_id="x" * 128),
    "the longest identifier, in characters of four bytes": changed(item_id="🎵" * 128),
    "the largest record": changed(note="x" * (262_144 - len(changed(note="")))),
    "a latitude at the pole, as a whole number": changed(lat=-90),
    "a field given twice, the last time well": b'{"user_id": null, ' + changed()[1:],
}  # fmt: skip

BAD: dict[str, tuple[bytes | None, str, str | None]] = {
    "no value": (None, "empty", None),
    "an empty value": (b"", "empty", None),
    "a huge value": (changed(note="x" * 300_000), "too_large", None),
    "one byte too many": (
        changed(note="x" * (262_145 - len(changed(note="")))),
        "too_large",
        None,
    ),
    "bytes that are no UTF-8": (b'{"user_id":"\xff"}', "invalid_utf8", None),
    "no UTF-8 where nobody looks": (written("mood", b'"\xff"'), "invalid_utf8", None),
    "half a surrogate pair in UTF-8": (written("city", b'"\xed\xa0\x80"'), "invalid_utf8", None),
    "half a surrogate pair, escaped": (written("city", b'"\\ud800"'), "malformed_json", None),
    "a NUL that is not escaped": (written("city", b'"a\x00b"'), "malformed_json", None),
    "a byte order mark": (b"\xef\xbb\xbf" + changed(), "malformed_json", None),
    "something behind": (changed() + b"x", "malformed_json", None),
    "cut JSON": (changed()[:60], "malformed_json", None),
    "single quotes": (b"{'event_id': 'x'}", "malformed_json", None),
    "a bare NaN": (changed().replace(b"150000", b"NaN"), "malformed_json", None),
    "no object": (b'["listen"]', "malformed_json", None),
    "plain text": (b"hello", "malformed_json", None),
    "text for a number": (changed(event_ts="yesterday"), "wrong_type", "event_ts"),
    "digits as text for a number": (changed(event_ts="1793534399000"), "wrong_type", "event_ts"),
    "true for a number": (changed(ms_played=True), "wrong_type", "ms_played"),
    "a fraction for a whole number": (changed(ms_played=1.5), "wrong_type", "ms_played"),
    "a number past 64 bits": (changed(ms_played=10**30), "wrong_type", "ms_played"),
    "a number of 5,000 digits": (written("produced_ts", b"1" * 5_000), "wrong_type", "produced_ts"),
    "a list for a number": (changed(schema_version=[1]), "wrong_type", "schema_version"),
    "no event_id": (without("event_id"), "missing", "event_id"),
    "a null user_id": (changed(user_id=None), "missing", "user_id"),
    "an empty user_id": (changed(user_id=""), "missing", "user_id"),
    "a listen without an item": (without("item_id"), "missing", "item_id"),
    "a listen without a length": (without("duration_ms"), "missing", "duration_ms"),
    "an event_id that is no UUID": (changed(event_id="e-1"), "not_allowed", "event_id"),
    "an event_id and a line's end": (
        changed(event_id=LISTEN["event_id"][:-1] + "\n"),
        "not_allowed",
        "event_id",
    ),
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


def test_records_that_keep_the_contract_are_accepted() -> None:
    found = decoded(list(GOOD.values()))
    names = dict(enumerate(GOOD, start=100))
    assert {names[offset]: why for offset, why in reasons(found).items()} == {}
    assert [names[offset] for offset in offsets(found)] == list(GOOD)


def test_each_breach_is_rejected_with_its_reason_and_field() -> None:
    found = reasons(decoded([value for value, *_ in BAD.values()]))
    names = dict(enumerate(BAD, start=100))
    assert {names[offset]: why for offset, why in found.items()} == {
        name: (reason, field) for name, (_, reason, field) in BAD.items()
    }


@pytest.mark.parametrize("name", BAD)
def test_a_breach_is_judged_alike_when_it_comes_alone(name: str) -> None:
    value, reason, field = BAD[name]
    assert reasons(decoded([value])) == {100: (reason, field)}


def test_a_rejected_record_keeps_its_place_and_its_bytes() -> None:
    (found,) = decoded([changed(ms_played=-1)]).rejected
    assert (found.key, found.value) == (b"u1", changed(ms_played=-1))
    assert (found.partition, found.offset, found.arrived_ms) == (3, 100, ARRIVED_MS)


def test_an_accepted_record_has_its_place_and_its_fields_and_nothing_else() -> None:
    assert decoded([changed(lat=48.2, country="AT", mood="happy")]).accepted.to_pylist() == [
        {
            "partition": 3,
            "offset": 100,
            "arrived_ms": ARRIVED_MS,
            **LISTEN,
            "produced_ts": None,
            "session_id": None,
            "page": None,
            "query": None,
            "device": None,
            "city": None,
            "country": "AT",
            "lat": 48.2,
            "lon": None,
            "level": None,
            "position": None,
            "source": None,
            "model_run_id": None,
            "variant": None,
        }
    ]


def test_fields_that_nobody_uses_are_checked_and_left_out() -> None:
    found = decoded(
        [changed(lat=48.2, city="Wien"), changed(lat=91)],
        Decoder(EVENT_FIELDS, RULES, unused=("lat", "city")),
    )
    assert {"lat", "city"} & set(found.accepted.column_names) == set()
    assert found.accepted.column("item_id").to_pylist() == ["t1"]
    assert reasons(found) == {101: ("out_of_range", "lat")}


def test_a_mixed_batch_keeps_its_order_and_loses_the_right_rows() -> None:
    found = decoded(
        [
            changed(user_id="a"),
            changed(user_id="b", ms_played=-1),  # a field's bounds
            changed(user_id=3),  # decoded the slow way
            changed(user_id="d", event_ts=ARRIVED_MS + 300_001),  # a rule beyond fields
            None,
            changed(user_id="f", city="\x00"),  # its bytes alone are suspicious
            changed(user_id="g", city="\\u0000"),  # suspicious without cause
            changed(user_id="h", item_id=None),  # what its type requires
            changed(user_id="i", event_type="like", duration_ms=None, ms_played=None),
            changed(user_id="j"),
        ]
    )
    pairs = zip(offsets(found), found.accepted.column("user_id").to_pylist(), strict=True)
    assert list(pairs) == [(100, "a"), (102, "3"), (106, "g"), (108, "i"), (109, "j")]
    assert list(reasons(found).items()) == [
        (101, ("out_of_range", "ms_played")),
        (103, ("in_the_future", "event_ts")),
        (104, ("empty", None)),
        (105, ("forbidden_character", "city")),
        (107, ("missing", "item_id")),
    ]
    assert [one.value for one in found.rejected][-1] == changed(user_id="h", item_id=None)


def test_bytes_that_are_no_utf8_harm_no_neighbour() -> None:
    found = decoded([changed(user_id="a"), written("mood", b'"\xff"'), changed(user_id="b")])
    assert found.accepted.column("user_id").to_pylist() == ["a", "b"]
    assert reasons(found) == {101: ("invalid_utf8", None)}


def test_a_part_of_a_batch_is_decoded_as_such() -> None:
    whole = batch([changed(city="\x00"), changed(user_id="b"), changed(ms_played=-1), None])
    found = EVENTS.decode(whole.slice(1, 2))
    assert offsets(found) == [101]
    assert reasons(found) == {102: ("out_of_range", "ms_played")}


@pytest.mark.parametrize("values", [[], [None, b""]])
def test_where_nothing_is_accepted_the_columns_stay(values: list[bytes | None]) -> None:
    found = decoded(values).accepted
    assert found.num_rows == 0
    assert found.schema == decoded([changed()]).accepted.schema


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (b"42", "42"),
        (b"-1.50e3", "-1.50e3"),
        (b"true", "true"),
        (b'{"a" : [1, "x"]}', '{"a" : [1, "x"]}'),
        (b'["a"]', '["a"]'),
        (b'"\\u00fc"', "ü"),
        (b"null", None),
    ],
)
def test_text_given_as_another_json_type_is_read_as_its_json_text(
    given: bytes, read: str | None
) -> None:
    found = decoded([written("city", given)])
    assert found.accepted.column("city").to_pylist() == [read]


@pytest.mark.parametrize("nested", [b"[" * 5_000 + b"]" * 5_000, b'{"a":' * 5_000])
@pytest.mark.parametrize("field", ["mood", "city", "ms_played"])
def test_json_nested_without_measure_is_rejected_and_harms_no_neighbour(
    field: str, nested: bytes
) -> None:
    found = decoded([changed(user_id="a"), written(field, nested), changed(user_id="b")])
    assert found.accepted.column("user_id").to_pylist() == ["a", "b"]
    assert [one.offset for one in found.rejected] == [101]


def test_a_list_of_texts_is_checked_text_by_text() -> None:
    lists: list[Any] = [
        ["Rock", "Pop"],
        ["Rock", "x" * 129],
        "Rock",
        [None, "Rock", None],
        [],
        None,
        [1, True],
        ["a\x00b"],
        ["x" * 128, ""],
    ]
    found = decoded(
        [json.dumps({**ITEM, "genres": genres}).encode() for genres in lists], Decoder(ITEM_FIELDS)
    )
    assert reasons(found) == {
        101: ("too_long", "genres"),
        102: ("wrong_type", "genres"),
        107: ("forbidden_character", "genres"),
    }
    assert found.accepted.column("genres").to_pylist() == [
        ["Rock", "Pop"],
        [None, "Rock", None],
        [],
        None,
        ["1", "true"],
        ["x" * 128, ""],
    ]


def test_a_key_without_a_value_deletes_where_that_is_agreed() -> None:
    values = [None, b'{"user_id": "u1", "schema_version": 1, "name": "Ada"}', b""]
    found = decoded(values, Decoder(USER_FIELDS, deletes="user_id"))
    kept = found.accepted.select(["offset", "user_id", "name", "deleted"]).to_pylist()
    assert kept == [
        {"offset": 100, "user_id": "u1", "name": None, "deleted": True},
        {"offset": 101, "user_id": "u1", "name": "Ada", "deleted": False},
    ]
    assert reasons(found) == {102: ("empty", None)}
    assert reasons(decoded(values, Decoder(USER_FIELDS))) == {
        100: ("empty", None),
        102: ("empty", None),
    }


@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_a_deletion_of_nothing_that_has_a_name_is_rejected(key: bytes | None) -> None:
    found = Decoder(USER_FIELDS, deletes="user_id").decode(batch([None], key=key))
    assert (found.accepted.num_rows, reasons(found)) == (0, {100: ("empty", None)})


def test_a_key_that_postgresql_cannot_store_deletes_nothing() -> None:
    found = Decoder(USER_FIELDS, deletes="user_id").decode(batch([None], key=b"u\x00"))
    assert (found.accepted.num_rows, len(found.rejected)) == (0, 1)


def test_a_decoder_travels_to_spark_and_decodes_there_as_here() -> None:
    from pyspark import cloudpickle

    values = [changed(), changed(ms_played=-1), changed(event_ts=ARRIVED_MS + 300_001), None]
    sent = Decoder(EVENT_FIELDS, RULES, unused=("lat",), deletes="user_id")
    there = cloudpickle.loads(cloudpickle.dumps(sent))  # type: ignore[no-untyped-call]
    here, found = decoded(values[:3], sent), decoded(values[:3], there)
    assert found.accepted.equals(here.accepted)
    assert reasons(found) == {
        101: ("out_of_range", "ms_played"),
        102: ("in_the_future", "event_ts"),
    }
    assert "lat" not in found.accepted.column_names
    assert found.accepted.column("deleted").to_pylist() == [False]


TYPES = (
    *("listen", "like", "unlike", "dislike", "playlist_add", "page_view", "search", "advert"),
    *("login", "logout", "subscription_change"),
)
NAMES = (*oracle.FIELDS, "mood")
WHOLE = st.sampled_from(
    [
        *(0, 1, -1, 86_400_000, 86_400_001, 1_000_000, 1_000_001, 90, 91, -180, -181),
        *(946_684_799_999, 946_684_800_000, 4_102_444_800_000, 4_102_444_800_001),
        *(ARRIVED_MS, ARRIVED_MS + 300_000, ARRIVED_MS + 300_001),
        *(2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30, -(10**30)),
    ]
)
FRACTION = st.sampled_from([0.0, -0.0, 1.0, 1.5, 90.000_000_1, -180.5, 1e300, -1e-300, 5e-324])
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(
        [
            *("", "\x00", "a\x00", "\\u0000", "\n", "null", "free", "paid", "gold", "東京", "🎵"),
            *("x" * length for length in (36, 37, 128, 129, 512, 513)),
            *("🎵" * 128, "🎵" * 129),
            "0D6B1F60-5C1E-4C7E-9A53-0A4D8F0F8A11",
            "0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a1\n",
        ]
    ),
    st.sampled_from(TYPES),
)
OTHER = st.sampled_from([True, False, [], [1], {}, {"a": "\x00"}, {"user_id": "u2"}])
# What json.dumps would not write.
WRITTEN = st.sampled_from(
    [
        *(b"NaN", b"Infinity", b"-", b"01", b"1.", b".5", b"1e999", b"-0", b"1E3", b"1" * 5_000),
        *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83c\\udfb5"', b'"\\x"', b'"\\u00"'),
        *(b'"a', b"'a'", b'"\\u0000"'),
        *(b'"\xff"', b'"\xed\xa0\x80"', b'"\x00"', b'"a\nb"', b'{"a" : 1 }', b"[1,]", b"", b"nul"),
        *(b'"\\u0041"', b"tru", b"null ", b'"a" "b"'),
    ]
)  # fmt: skip


def value_of(name: str) -> st.SearchStrategy[Any]:
    """Return what a field may be given: mostly something of its type."""
    kind = oracle.FIELDS.get(name, ("text",))[0]
    fitting = {"text": TEXT, "integer": WHOLE, "number": st.one_of(FRACTION, WHOLE)}[kind]
    return st.one_of(fitting, fitting, fitting, st.none(), WHOLE, FRACTION, TEXT, OTHER)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an event with some fields dropped, replaced or added."""
    said = {"page": "Home", "query": "q", "position": 1, "source": "personal"}
    event = {**LISTEN, "event_type": draw(st.sampled_from(TYPES)), **said}
    if draw(st.booleans()):
        event.pop(draw(st.sampled_from(NAMES)), None)
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=2)):
        event[name] = draw(value_of(name))
    return event


@st.composite
def as_bytes(draw: st.DrawFn) -> bytes | None:
    """Draw the bytes of a mutated event, at times with a field written in an odd way, or cut."""
    value = json.dumps(draw(mutated()), ensure_ascii=draw(st.booleans())).encode()
    if draw(st.integers(0, 4)) == 4:
        name = draw(st.sampled_from(NAMES))
        value = value[:-1] + b', "' + name.encode() + b'":' + draw(WRITTEN) + b"}"
    if draw(st.integers(0, 9)) == 9:
        return draw(st.sampled_from([None, b"", value[:-1], value[:40], b" " + value]))
    return value


def alone(value: bytes | None) -> dict[str, Any] | tuple[str, str | None]:
    """Return what the judge says without the fast way before it."""
    try:
        return Judge(EVENT_FIELDS, [rule.judge for rule in RULES]).judge(value, ARRIVED_MS)
    except BreachError as error:
        return error.breach.reason.value, error.breach.field


def verdicts(values: Sequence[bytes | None]) -> list[dict[str, Any] | tuple[str, str | None]]:
    """Return what becomes of each record of a batch: its fields, or reason and field."""
    found = decoded(values)
    names = list(oracle.FIELDS)
    rows = zip(offsets(found), found.accepted.select(names).to_pylist(), strict=True)
    verdict: dict[int, Any] = {**reasons(found), **dict(rows)}
    assert sorted(verdict) == list(range(100, 100 + len(values)))
    return [verdict[offset] for offset in sorted(verdict)]


@settings(deadline=None)  # a busy machine is no defect
@given(st.lists(as_bytes(), max_size=6))
@example([b'{"user_id": "\\u0000", ' + changed()[1:], changed(city={"a": "\x00"})])
@example([b'{"mood": "\xff"}', changed(user_id=5), None, changed()])
def test_the_fast_way_says_what_the_judge_alone_says(values: list[bytes | None]) -> None:
    assert verdicts(values) == [alone(value) for value in values]


def in_the_oracles_domain(event: dict[str, Any]) -> bool:
    """Tell whether the oracle speaks of such a record: text is text, and no level is empty."""
    texts = [name for name, (kind, *_) in oracle.FIELDS.items() if kind == "text"]
    return event.get("level") != "" and all(
        isinstance(event.get(name), str | None) for name in texts
    )


@settings(deadline=None)
@given(st.lists(mutated().filter(in_the_oracles_domain), min_size=1, max_size=6))
def test_records_are_judged_as_the_documents_say(events: list[dict[str, Any]]) -> None:
    expected: list[Any] = []
    values = [json.dumps(event).encode() for event in events]
    for value in values:
        try:
            expected.append(oracle.judge(value, ARRIVED_MS))
        except oracle.BreachError as breach:
            expected.append(breach.args)
    assert verdicts(values) == expected
