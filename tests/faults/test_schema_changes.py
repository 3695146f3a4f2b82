"""Senders of other versions side by side: what is new is ignored or kept aside, nothing else."""

import json
from dataclasses import replace

import pytest

from database.engine import transaction
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside, Message, event, message

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]


def test_a_new_field_and_a_newer_version_change_no_number(inside: Inside) -> None:
    inside.send(
        message(one)
        for number in range(0, 900, 3)
        for one in (
            event(number),
            event(number + 1, mood="calm", tags=["a", {"b": [None]}], rating=1e300, event={}),
            event(number + 2, schema_version=999_999, ms_played_by_ear=-1),
        )
    )
    inside.count_all()
    inside.pipeline.assert_exact()
    assert inside.totals() == {"accepted": 900, "duplicate": 0, "rejected": 0}


def test_a_new_type_of_event_is_kept_aside_and_the_old_ones_go_on(inside: Inside) -> None:
    inside.send(
        message(one)
        for number in range(0, 600, 2)
        for one in (
            event(number),
            event(number + 1, event_type="podcast_follow", schema_version=2, show="s-1"),
        )
    )
    inside.count_all(stream_max_offsets_per_trigger=150)
    inside.pipeline.assert_exact()
    assert inside.totals() == {"accepted": 300, "duplicate": 0, "rejected": 300}
    with transaction(inside.pipeline.database) as cursor:
        cursor.execute("SELECT reason, field, raw FROM rejected_events")
        kept = cursor.fetchall()
    assert {(reason, field) for reason, field, _ in kept} == {("not_allowed", "event_type")}
    assert {json.loads(bytes(raw))["show"] for *_, raw in kept} == {"s-1"}


def test_an_old_sender_with_fewer_fields_counts_beside_a_new_one_with_more(inside: Inside) -> None:
    optional = ("session_id", "device", "country", "level", "produced_ts", "city", "lat", "lon")
    fewer = dict.fromkeys(optional, ...)
    more = {
        "city": "Kraków",
        "lat": 50.06,
        "lon": 19.94,
        "country": "PL",
        "query": "q",
        "page": "p",
    }
    inside.send(
        message(one)
        for number in range(0, 800, 2)
        for one in (
            event(number, **fewer),
            event(number + 1, produced_ts=event(number)["event_ts"], **more),
        )
    )
    inside.send(
        message(event(800 + number, **{**fewer, name: None}))
        for number, name in enumerate(optional)
    )
    inside.count_all()
    inside.pipeline.assert_exact()
    assert inside.totals() == {"accepted": 808, "duplicate": 0, "rejected": 0}


# What stands in the record, and the text that it is.
AS_TEXT = {
    b"12345": "12345",
    b"1.50": "1.50",
    b"-0": "-0",
    b"1e3": "1e3",
    b"true": "true",
    b'{"a": [1]}': '{"a": [1]}',
    b"123456789012345678901234567890": "123456789012345678901234567890",
}


def test_text_given_as_another_type_is_its_json_text(inside: Inside) -> None:
    given, meant = [], {}
    for number, (raw, text) in enumerate(AS_TEXT.items()):
        fields = ("user_id", "item_id", "session_id", "country", "device")
        for turn in range(2):
            one = event(2 * number + turn, **dict.fromkeys(fields, "HERE"))
            value = json.dumps(one).encode().replace(b'"HERE"', raw)
            # Half of the senders give it as text: both mean the same listener and item.
            plain = json.dumps(one).replace('"HERE"', json.dumps(text)).encode()
            meant[value] = plain
            given.append(Message(plain if turn else value, text.encode()))
    inside.send(given)
    inside.count_all()
    records = inside.pipeline.records()
    assert len(records) == 2 * len(AS_TEXT)
    inside.pipeline.assert_exact(
        [replace(one, value=meant.get(one.value or b"", one.value)) for one in records]
    )
    with transaction(inside.pipeline.database) as cursor:
        cursor.execute("SELECT user_id, sum(plays)::int FROM user_counts_day GROUP BY 1")
        assert dict(cursor.fetchall()) == dict.fromkeys(AS_TEXT.values(), 2)
