"""Poison of every kind amid good events: each kept with its reason, no good one lost."""

import json
from collections import Counter
from collections.abc import Callable

import pytest

from database.engine import transaction
from encore.topics import admin_client
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside, Message, event, message

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]

Wrong = tuple[str, str | None]
YEAR_9999_MS = 253_370_764_800_000
SECONDS = 1_790_000_000


def raw(number: int, field: str, instead: bytes) -> bytes:
    """Return an event whose field has these bytes for a value, JSON or not."""
    return json.dumps(event(number, **{field: "HERE"})).encode().replace(b'"HERE"', instead)


def made(number: int, **fields: object) -> bytes:
    """Return an event with other fields than it should have."""
    return json.dumps(event(number, **fields)).encode()


def padded(number: int, length: int) -> bytes:
    """Return an event made so many bytes long by spaces."""
    whole = made(number)
    return whole[:-1] + b" " * (length - len(whole)) + b"}"


# What is wrong with it, by name: the bytes, and the reason and field that must be recorded.
POISON: dict[str, tuple[Callable[[int], bytes | None], Wrong]] = {
    "no value": (lambda _: None, ("empty", None)),
    "no bytes": (lambda _: b"", ("empty", None)),
    "cut off": (lambda n: made(n)[:-9], ("malformed_json", None)),
    "a list": (lambda n: b"[" + made(n) + b"]", ("malformed_json", None)),
    "two in one": (lambda n: made(n) + made(n), ("malformed_json", None)),
    "a comma too much": (lambda n: made(n)[:-1] + b",}", ("malformed_json", None)),
    "single quotes": (lambda n: made(n).replace(b'"', b"'"), ("malformed_json", None)),
    "no JSON at all": (lambda _: b"\x00\x00\x00\x00\x2aAvro", ("malformed_json", None)),
    "a byte order mark": (lambda n: b"\xef\xbb\xbf" + made(n), ("malformed_json", None)),
    "NaN": (lambda n: raw(n, "lat", b"NaN"), ("malformed_json", None)),
    "raw NUL": (lambda n: raw(n, "user_id", b'"a\x00b"'), ("malformed_json", None)),
    "raw NUL, unknown field": (lambda n: raw(n, "mood", b'"a\x00b"'), ("malformed_json", None)),
    "NUL after the end": (lambda n: made(n) + b"\x00", ("malformed_json", None)),
    "raw newline": (lambda n: raw(n, "item_id", b'"a\nb"'), ("malformed_json", None)),
    "escaped NUL": (lambda n: made(n, user_id="a\0b"), ("forbidden_character", "user_id")),
    "escaped NUL, city": (lambda n: made(n, city="\0"), ("forbidden_character", "city")),
    "invalid UTF-8": (lambda n: raw(n, "user_id", b'"\xff"'), ("invalid_utf8", None)),
    "invalid UTF-8, unknown field": (lambda n: raw(n, "mood", b'"\xc3("'), ("invalid_utf8", None)),
    "surrogate as UTF-8": (lambda n: raw(n, "city", b'"\xed\xa0\x80"'), ("invalid_utf8", None)),
    "lone surrogate": (lambda n: raw(n, "city", rb'"\ud800"'), ("malformed_json", None)),
    "low surrogate first": (lambda n: raw(n, "user_id", rb'"\udc00!"'), ("malformed_json", None)),
    "100,000 brackets": (lambda _: b"[" * 100_000, ("malformed_json", None)),
    "100,000 brackets in a field": (
        lambda n: raw(n, "mood", b"[" * 100_000 + b"]" * 100_000),
        ("malformed_json", None),
    ),
    "deep objects": (lambda _: b'{"a":' * 40_000 + b"1" + b"}" * 40_000, ("malformed_json", None)),
    "one byte too long": (lambda n: padded(n, 262_145), ("too_large", None)),
    "10 MB": (lambda n: padded(n, 10_000_000), ("too_large", None)),
    "time as text": (lambda n: made(n, event_ts="2026-11-01"), ("wrong_type", "event_ts")),
    "played as text": (lambda n: made(n, ms_played="1000"), ("wrong_type", "ms_played")),
    "played as fraction": (lambda n: made(n, ms_played=0.5), ("wrong_type", "ms_played")),
    "played as truth": (lambda n: made(n, ms_played=True), ("wrong_type", "ms_played")),
    "beyond 64 bits": (lambda n: made(n, event_ts=2**64), ("wrong_type", "event_ts")),
    "5,000 digits": (lambda n: raw(n, "event_ts", b"9" * 5000), ("wrong_type", "event_ts")),
    "beyond a double": (lambda n: raw(n, "lon", b"1e999"), ("wrong_type", "lon")),
    "no event_id": (lambda n: made(n, event_id=...), ("missing", "event_id")),
    "no user": (lambda n: made(n, user_id=...), ("missing", "user_id")),
    "null user": (lambda n: made(n, user_id=None), ("missing", "user_id")),
    "empty user": (lambda n: made(n, user_id=""), ("missing", "user_id")),
    "no item": (lambda n: made(n, item_id=...), ("missing", "item_id")),
    "no time": (lambda n: made(n, event_ts=...), ("missing", "event_ts")),
    "other case": (
        lambda n: made(n).replace(b"user_id", b"USER_ID"),
        ("missing", "user_id"),
    ),
    "negative": (lambda n: made(n, ms_played=-1), ("out_of_range", "ms_played")),
    "longer than a day": (lambda n: made(n, ms_played=2**40), ("out_of_range", "ms_played")),
    "least of 64 bits": (lambda n: made(n, duration_ms=-(2**63)), ("out_of_range", "duration_ms")),
    "before 1970": (lambda n: made(n, event_ts=-1), ("out_of_range", "event_ts")),
    "in seconds": (lambda n: made(n, event_ts=SECONDS), ("out_of_range", "event_ts")),
    "year 9999": (lambda n: made(n, event_ts=YEAR_9999_MS), ("out_of_range", "event_ts")),
    "produced in 9999": (
        lambda n: made(n, produced_ts=YEAR_9999_MS),
        ("out_of_range", "produced_ts"),
    ),
    "beside the world": (lambda n: made(n, lat=90.1), ("out_of_range", "lat")),
    "version 0": (lambda n: made(n, schema_version=0), ("out_of_range", "schema_version")),
    "too long a name": (lambda n: made(n, user_id="ü" * 129), ("too_long", "user_id")),
    "unknown type": (lambda n: made(n, event_type="teleport"), ("not_allowed", "event_type")),
    "type in capitals": (lambda n: made(n, event_type="LISTEN"), ("not_allowed", "event_type")),
    "no UUID": (lambda n: made(n, event_id="42"), ("not_allowed", "event_id")),
    "unknown level": (lambda n: made(n, level="gold"), ("not_allowed", "level")),
    "empty level": (lambda n: made(n, level=""), ("not_allowed", "level")),
    "clock an hour ahead": (
        lambda n: made(n, event_ts=int(str(event(0)["event_ts"])) + 3_600_000),
        ("in_the_future", "event_ts"),
    ),
    "year 2099": (lambda n: made(n, event_ts=4_090_000_000_000), ("in_the_future", "event_ts")),
}  # fmt: skip
KEYS = (b"user-1", None, b"\xff\xfe\x00", b"", b"\\N", "ключ".encode())


def test_poison_of_every_kind_is_kept_with_its_reason_and_no_good_event_is_lost(
    inside: Inside,
) -> None:
    allow_16_mb(inside)
    # Bytes that are no UTF-8 come in batches of their own: they bring whatever is read with them
    # to closer attention.
    text = {name: one for name, one in POISON.items() if one[1] != ("invalid_utf8", None)}
    number, expected = 0, Counter[Wrong]()
    for kinds in (text, {name: POISON[name] for name in POISON.keys() - text.keys()}):
        messages = []
        for make, wrong in kinds.values():
            key = KEYS[number % len(KEYS)]
            messages += [message(event(3 * number)), Message(make(number), key)]
            messages += [Message(made(3 * number + 1), key), message(event(3 * number + 2))]
            expected[wrong] += 1
            number += 1
        inside.send(messages)
        inside.count_all(stream_max_offsets_per_trigger=97)
    inside.pipeline.assert_exact()
    assert reasons(inside) == expected
    assert inside.totals() == {
        "accepted": 3 * len(POISON), "duplicate": 0, "rejected": len(POISON)
    }  # fmt: skip


def test_clocks_that_are_a_little_ahead_are_no_poison(inside: Inside) -> None:
    now = int(str(event(0)["event_ts"]))
    inside.send(message(event(n, event_ts=now + 1000 * n)) for n in range(240))
    inside.count_all()
    inside.pipeline.assert_exact()
    assert inside.totals() == {"accepted": 240, "duplicate": 0, "rejected": 0}


def test_ten_thousand_poison_records_in_a_row_stop_nothing(inside: Inside) -> None:
    good = [message(event(number)) for number in range(1000)]
    poison = [Message(b'{"event_id": %d,' % number, b"user-1") for number in range(10_000)]
    inside.send([*good[:500], *poison, *good[500:]])
    inside.count_all(stream_max_offsets_per_trigger=4000)
    inside.pipeline.assert_exact()
    assert inside.totals() == {"accepted": 1000, "duplicate": 0, "rejected": 10_000}
    assert reasons(inside) == {("malformed_json", None): 10_000}


ODD_TEXTS = (
    "", '"', '""', "'", "''", "\\", "\\\\", "\\N", "\\n", "\\.", "\n\\.\n", "\n", "\r\n", "\t",
    ",", ",,", "a,b", "{}", "{", "}", '{"a","b"}', "{NULL}", "NULL", "null", "NaN", "\\x00",
    "\\u0000", "(1,2)", "a b", " a ", " ", "%s", "%(x)s", "$1", "$$", "; DROP TABLE x; --",
    "🎧", "👩‍👩‍👧", "é", "e\u0301", "\u202e", "\x7f", "\x01", "\ufeff", "\uffff", "\u2028",
    "日本語", "A", "a", "x" * 128, "🎵" * 128,
)  # fmt: skip


def test_any_text_stands_in_every_table_as_it_was_sent(inside: Inside) -> None:
    kinds = ("listen", "like", "dislike", "playlist_add", "logout")
    messages = []
    for number, text in enumerate(ODD_TEXTS * 3):
        other = ODD_TEXTS[(number * 7) % len(ODD_TEXTS)]
        names = ("item_id", "session_id", "country", "device", "city", "query")
        places: dict[str, object] = dict.fromkeys(names, text)
        messages += [
            message(event(2 * number, event_type=kinds[number % 5], user_id=text or "-", **places)),
            message(event(2 * number + 1, user_id=other or "-", item_id=text, page=text)),
        ]
    inside.send(messages)
    inside.count_all(stream_max_offsets_per_trigger=70)
    inside.pipeline.assert_exact()
    assert inside.totals() == {"accepted": len(messages), "duplicate": 0, "rejected": 0}


def allow_16_mb(inside: Inside) -> None:
    """See that the topic takes as long a message as the brokers do."""
    from kafka.admin import ConfigResource, ConfigResourceType

    topic = inside.pipeline.topics.events
    with admin_client(inside.pipeline.kafka) as admin:
        found = admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all"
        )
    assert int(found["topic"][topic]["max.message.bytes"]["value"]) == 16_777_216


def reasons(inside: Inside) -> dict[Wrong, int]:
    """Count the rejected records by reason and field."""
    with transaction(inside.pipeline.database) as cursor:
        cursor.execute("SELECT reason, field, count(*) FROM rejected_events GROUP BY 1, 2")
        return {(reason, field): count for reason, field, count in cursor.fetchall()}
