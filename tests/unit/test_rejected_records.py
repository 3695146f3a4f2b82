"""Rejected records on their way back: places, filters, edits, lines of JSON, what is shown."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from database.rejected.compose import Record, compose
from database.rejected.contract import entity_table, key_field, rule_of
from database.rejected.edits import Edits, RefusedError
from database.rejected.lines import Given, Line, line_of, read_lines
from database.rejected.places import Place
from database.rejected.replay import BATCH_BYTES, within_bytes
from database.rejected.rows import Filters, Row
from encore.errors import EncoreError
from streaming.rejected.view import cut, details

AT = datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)
EVENT = b'{"event_id": "x",  "user_id": "u1", "level": "gold"}'
PLACE = Place("music.events", "id-1", 2, 1042)


def row_of(raw: bytes | None, key: bytes | None = b"u1", topic: str = "music.events") -> Row:
    place = Place(topic, "id-1", 2, 1042)
    return Row(place, "not_allowed", "level", AT, AT, None, None, key, raw, len(raw or b""))


def written(tmp_path: Path, *lines: str | dict[str, Any]) -> Path:
    path = tmp_path / "rejected.ndjson"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def test_a_place_is_read_as_it_is_written() -> None:
    place = Place.parse("music.events/2/1042")
    assert place == Place("music.events", None, 2, 1042)
    assert str(place) == "music.events/2/1042"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "music.events",
        "music.events/2",
        "music.events/2/-1",
        "a b/0/0",
        "t/0/99999999999999999999",
    ],
)
def test_what_is_no_place_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(EncoreError, match="no place"):
        Place.parse(text)


def test_filters_ask_for_what_is_given_and_not_replayed_yet() -> None:
    assert repr(Filters(reason="missing").where()).count("%(reason)s") == 1
    assert "replayed_at IS NULL" in repr(Filters().where())
    assert "replayed_at" not in repr(Filters(replayed=True).where())
    assert "%(" not in repr(Filters().where())
    assert Filters(topic="music.users", since=AT).values()["since"] == AT


def test_without_edits_a_value_keeps_its_very_bytes() -> None:
    assert Edits().apply(EVENT) == EVENT
    assert Edits().apply(b"\xff\x00") == b"\xff\x00"


def test_fields_are_set_to_json_values_and_dropped() -> None:
    edits = Edits.parse(['level="free"', "event_ts=1793534399000"], ["event_id"])
    assert json.loads(edits.apply(EVENT)) == {
        "user_id": "u1",
        "level": "free",
        "event_ts": 1_793_534_399_000,
    }


def test_an_edit_leaves_the_other_fields_as_they_were() -> None:
    value = '{"n":123456789012345678901234567890,"f":1.5,"t":"né","half":"\\ud800"}'.encode()
    changed = Edits.parse(["level=null"], []).apply(value)
    assert json.loads(changed) == {**json.loads(value), "level": None}


@pytest.mark.parametrize("text", ["level", "level=free", "=1", "event_ts=NaN", "level='free'"])
def test_what_is_no_assignment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(EncoreError, match="--set 'level="):
        Edits.parse([text], [])


def test_a_field_that_is_set_and_dropped_is_refused() -> None:
    with pytest.raises(EncoreError, match="twice"):
        Edits.parse(["level=1"], ["level"])


def test_a_field_that_the_contract_does_not_have_is_refused() -> None:
    with pytest.raises(EncoreError, match=r"music\.items has no such field"):
        Edits.parse(["level=1"], []).check(["music.items"], 1)
    Edits.parse(["title=1"], []).check(["music.items"], 5)


def test_one_event_id_for_several_records_is_refused() -> None:
    edits = Edits.parse(['event_id="0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a11"'], [])
    edits.check(["music.events"], 1)
    with pytest.raises(EncoreError, match="2 records one event"):
        edits.check(["music.events"], 2)


@pytest.mark.parametrize("value", [b"[1]", b"{", b"\xff", b"NaN", b"[" * 100_000])
def test_what_is_no_json_object_cannot_be_edited(value: bytes) -> None:
    with pytest.raises(RefusedError, match="no JSON object"):
        Edits.parse(["level=1"], []).apply(value)


BYTES = [EVENT, b"\xff\xfe{}", b"", None, "né\x00\u2028".encode(), b'"', b"\xed\xa0\x80"]


@pytest.mark.parametrize("raw", BYTES)
@pytest.mark.parametrize("key", [b"u1", b"\xff", None])
def test_lines_bring_back_the_very_bytes(
    raw: bytes | None, key: bytes | None, tmp_path: Path
) -> None:
    (line,) = read_lines(written(tmp_path, line_of(row_of(raw, key))))
    assert line == Line(1, PLACE, Given(key), Given(raw))


def test_a_line_says_by_its_key_whether_it_is_text_or_base64() -> None:
    assert json.loads(line_of(row_of(EVENT)))["raw"] == EVENT.decode()
    coded = json.loads(line_of(row_of(b"\xff")))
    assert "raw" not in coded
    assert coded["raw_base64"] == "/w=="


BARE = {"topic": "music.events", "partition": 2, "offset": 1042}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2"),
        ("[]", "no JSON object"),
        ({"topic": "music.events", "partition": 2}, "names no place"),
        (BARE | {"partition": True}, "names no place"),
        (BARE | {"offset": -1}, "no place that Kafka can have"),
        (BARE | {"raw": {"level": "free"}}, "raw is no text"),
        (BARE | {"raw": "a", "raw_base64": "YQ=="}, "both raw and raw_base64"),
        (BARE | {"raw_base64": "%"}, "no base64"),
        ('{"topic":"t","partition":0,"offset":0,"raw":"\\ud800"}', "surrogates"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(
    line: str | dict[str, Any], problem: str, tmp_path: Path
) -> None:
    path = written(tmp_path, BARE, line)
    with pytest.raises(EncoreError, match=problem) as told:
        list(read_lines(path))
    assert "rejected.ndjson, line 2: " in str(told.value)
    assert "Nothing was sent" in str(told.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EncoreError, match="cannot be read"):
        list(read_lines(tmp_path / "none"))


def test_a_record_is_sent_as_it_was_under_its_key() -> None:
    assert compose(row_of(EVENT), Edits()) == Record(PLACE, b"u1", EVENT)
    assert compose(row_of(b"\xff", None), Edits()) == Record(PLACE, None, b"\xff")


@pytest.mark.parametrize("raw", [None, b""])
@pytest.mark.parametrize("topic", ["music.events", "music.items"])
def test_a_record_without_a_value_is_refused_for_it_could_delete(
    raw: bytes | None, topic: str
) -> None:
    with pytest.raises(RefusedError, match="has no value"):
        compose(row_of(raw, topic=topic), Edits.parse(["level=1"], []))
    emptied = Line(1, PLACE, None, Given(raw))
    with pytest.raises(RefusedError, match="has no value"):
        compose(row_of(EVENT, topic=topic), Edits(), emptied)


def test_an_empty_record_that_a_file_fills_is_sent() -> None:
    assert compose(row_of(None), Edits(), Line(1, PLACE, None, Given(EVENT))).value == EVENT


@pytest.mark.parametrize(
    ("topic", "raw", "key"),
    [
        ("music.events", EVENT, b"u1"),
        ("music.events", b'{"user_id": 7}', b"7"),
        ("music.events", b'{"user_id": ""}', None),
        ("music.events", b'{"user_id": ["u1"]}', None),
        ("music.events", b"no json", None),
        ("music.users", b'{"user_id": "u1"}', b"u1"),
        ("music.items", b'{"user_id": "u1", "item_id": "t1"}', b"t1"),
    ],
)
def test_a_record_without_a_key_gets_the_id_that_it_has(
    topic: str, raw: bytes, key: bytes | None
) -> None:
    assert compose(row_of(raw, None, topic), Edits()).key == key


def test_an_entity_with_neither_key_nor_id_is_refused() -> None:
    with pytest.raises(RefusedError, match="neither key nor item_id"):
        compose(row_of(b'{"title": "x"}', None, "music.items"), Edits())


def test_the_key_follows_an_id_that_an_edit_changes() -> None:
    assert compose(row_of(EVENT), Edits.parse(['user_id="u2"'], [])).key == b"u2"
    assert compose(row_of(EVENT, b"other"), Edits.parse(["level=1"], [])).key == b"other"
    assert compose(row_of(EVENT), Edits.parse([], ["user_id"])).key == b"u1"


def test_the_key_of_a_file_goes_before_all() -> None:
    line = Line(1, PLACE, Given(b"u9"), Given(EVENT))
    assert compose(row_of(EVENT), Edits(), line).key == b"u9"
    same = Line(1, PLACE, Given(b"u1"), Given(b'{"user_id": "u2"}'))
    assert compose(row_of(EVENT), Edits(), same).key == b"u2"


def test_a_batch_ends_where_its_values_would_not_fit_into_memory() -> None:
    half = BATCH_BYTES // 2
    found = [(Place("t", "i", 0, number), half) for number in range(5)]
    assert len(within_bytes(found)) == 2
    assert len(within_bytes([(PLACE, BATCH_BYTES * 3), (PLACE, 1)])) == 1
    assert within_bytes([]) == []


def test_the_topic_tells_what_a_record_is_whatever_its_prefix() -> None:
    assert key_field("a.b.items") == "item_id"
    assert entity_table("test-1.users") == "users"
    assert entity_table("music.events") is None
    assert entity_table("foreign") is None


def test_the_rule_of_a_field_is_the_contracts() -> None:
    assert rule_of("music.events", "level") == (
        "level: text; required of subscription_change; free, paid. Subscription"
    )
    assert "required" in rule_of("music.users", "user_id")
    assert "262,144 bytes" in rule_of("music.events", None)
    assert rule_of("music.items", "level") == "level is not declared"


def test_a_value_is_shown_in_one_line_without_control_characters() -> None:
    assert cut(b"\x1b[31mred\n\xff\xc2\x85") == "\\x1b[31mred\\n\\xff\\x85"
    assert cut(None) == "NULL"
    assert len(cut("né".encode() * 200)) == 60


def test_the_details_show_json_as_json_and_other_bytes_as_text_and_hex() -> None:
    shown = "\n".join(details(row_of(b'{"level": "a\xc2\x9b\\u001b"}')))
    assert '  "level": "a\\x9b\\u001b"' in shown
    assert "contract  level: text" in shown
    other = "\n".join(details(row_of(b"\x1b\xffAB", None)))
    assert "\\x1b\\xffAB" in other
    assert "00000000  1b ff 41 42" in other
    assert "key       NULL" in other
