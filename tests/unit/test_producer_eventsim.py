"""A log of eventsim becomes our events, one a line, with nothing lost."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from encore.errors import EncoreError
from producer.records import Kind
from producer.replay import Replay, parse_speed, read_lines

BEGAN = 1_600_000_000_000
ROW: dict[str, Any] = {
    "artist": None,
    "auth": "Logged In",
    "firstName": "Ada",
    "gender": "F",
    "itemInSession": 0,
    "lastName": "Byron",
    "length": None,
    "level": "free",
    "location": "Santa Rosa, CA",
    "method": "GET",
    "page": "Home",
    "registration": 1_599_000_000_000.0,
    "sessionId": 38,
    "song": None,
    "status": 200,
    "ts": BEGAN,
    "userAgent": '"Mozilla/5.0 (iPhone; CPU iPhone OS 7_1_2 like Mac OS X)"',
    "userId": "39",
}
SONG = {"page": "NextSong", "artist": "The Testers", "song": "Fixture Blues", "length": 200.5}


def line(**changes: object) -> bytes:
    return json.dumps(ROW | changes).encode()


def replayed(*lines: bytes) -> list[tuple[Kind, bytes | None, bytes]]:
    return [(one.kind, one.key, one.value) for one in Replay(lines).records()]


def events(*lines: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(value) for kind, _, value in replayed(*lines) if kind is Kind.EVENT]


def test_a_song_becomes_a_listen_with_its_own_time_place_and_device() -> None:
    [event] = events(line(**SONG))
    assert event["event_id"] == events(line(**SONG))[0]["event_id"]
    del event["event_id"], event["item_id"]
    assert event == {
        "schema_version": 1,
        "event_type": "listen",
        "event_ts": BEGAN,
        "user_id": "39",
        "session_id": "38",
        "duration_ms": 200_500,
        "ms_played": 200_500,
        "device": "phone",
        "city": "Santa Rosa",
        "country": "US",
        "level": "free",
    }


def test_a_song_was_played_until_its_session_went_on() -> None:
    first, second, _ = events(
        line(**SONG, itemInSession=1),
        line(**SONG, itemInSession=2, ts=BEGAN + 30_000),
        line(itemInSession=3, ts=BEGAN + 30_000 + 900_000),
    )
    assert (first["ms_played"], second["ms_played"]) == (30_000, 200_500)


def test_another_session_in_between_does_not_end_a_song() -> None:
    played = events(
        line(**SONG, itemInSession=1),
        line(userId="7", sessionId=99, ts=BEGAN + 5_000),
        line(itemInSession=2, ts=BEGAN + 60_000),
    )
    assert [one.get("ms_played") for one in played] == [60_000, None, None]
    assert [one["user_id"] for one in played] == ["39", "7", "39"]


@pytest.mark.parametrize(
    ("page", "event_type", "level"),
    [
        ("Login", "login", "free"),
        ("Logout", "logout", "free"),
        ("Roll Advert", "advert", "free"),
        ("Submit Upgrade", "subscription_change", "paid"),
        ("Submit Downgrade", "subscription_change", "free"),
    ],
)
def test_pages_become_types_of_event(page: str, event_type: str, level: str) -> None:
    [event] = events(line(page=page))
    assert (event["event_type"], event["level"]) == (event_type, level)
    assert "page" not in event


def test_any_other_page_is_a_page_view() -> None:
    [event] = events(line(page="Save Settings"))
    assert (event["event_type"], event["page"]) == ("page_view", "Save Settings")


@pytest.mark.parametrize(
    ("page", "event_type"),
    [
        ("Thumbs Up", "like"),
        ("Thumbs Down", "dislike"),
        ("Add to Playlist", "playlist_add"),
    ],
)
def test_thumbs_and_playlists_are_about_the_song_that_plays(page: str, event_type: str) -> None:
    song, thumb = events(
        line(**SONG, itemInSession=1), line(page=page, itemInSession=2, ts=BEGAN + 9_000)
    )
    assert thumb["event_type"] == event_type
    assert thumb["item_id"] == song["item_id"]


def test_users_and_items_go_out_before_their_first_event_and_once() -> None:
    rows = replayed(line(**SONG, itemInSession=1), line(**SONG, itemInSession=2, ts=BEGAN + 1))
    assert [kind for kind, _, _ in rows] == [Kind.ITEM, Kind.USER, Kind.EVENT, Kind.EVENT]
    item, user = orjson.loads(rows[0][2]), orjson.loads(rows[1][2])
    assert (item["title"], item["artist_name"]) == ("Fixture Blues", "The Testers")
    assert item["duration_ms"] == 200_500
    assert item["item_id"].encode() == rows[0][1]
    assert user == {
        "user_id": "39",
        "schema_version": 1,
        "name": "Ada Byron",
        "gender": "F",
        "city": "Santa Rosa",
        "country": "US",
        "device": "phone",
        "level": "free",
        "registered_ts": 1_599_000_000_000,
        "updated_ts": BEGAN,
    }


def test_a_user_goes_out_again_when_their_level_changes() -> None:
    rows = replayed(
        line(), line(page="Submit Upgrade", ts=BEGAN + 1), line(level="paid", ts=BEGAN + 2)
    )
    levels = [orjson.loads(value)["level"] for kind, _, value in rows if kind is Kind.USER]
    assert levels == ["free", "paid"]


def test_one_song_of_two_artists_is_two_items() -> None:
    ids = {
        event["item_id"]
        for event in events(line(**SONG), line(**(SONG | {"artist": "Others"}), itemInSession=1))
    }
    assert len(ids) == 2


def test_a_row_without_a_user_is_sent_without_it_and_without_a_key() -> None:
    rows = replayed(line(userId="", firstName=None, lastName=None, location=None))
    [(kind, key, value)] = rows
    assert (kind, key) == (Kind.EVENT, None)
    assert "user_id" not in orjson.loads(value)


def test_a_song_without_artist_or_time_is_sent_without_it() -> None:
    [event] = events(line(**(SONG | {"artist": None})))
    assert event["event_type"] == "listen"
    assert "item_id" not in event
    [event] = events(line(ts=None))
    assert "event_ts" not in event
    [event] = events(line(ts="noon"))
    assert event["event_ts"] == "noon"


@pytest.mark.parametrize("broken", [b'{"page": "Ho', b"[1, 2]", b"7", b"\xff\xfe", b"null"])
def test_a_line_that_is_no_json_object_is_sent_as_it_is(broken: bytes) -> None:
    assert replayed(broken) == [(Kind.EVENT, None, broken)]


def test_every_line_gives_one_event_and_all_are_counted() -> None:
    replay = Replay(
        [line(**SONG), line(page="Help", itemInSession=1, ts=BEGAN + 5), line(userId=""), b"{"]
    )
    kinds = [record.kind for record in replay.records()]
    assert kinds.count(Kind.EVENT) == 4
    assert replay.counts.as_dict() == {
        "lines": 4,
        "events": {"listen": 1, "page_view": 2},
        "not_json": 1,
        "without_user": 1,
        "users": 1,
        "items": 1,
    }


def test_the_same_row_has_the_same_id_wherever_it_is_replayed_from() -> None:
    alone = events(line(**SONG, itemInSession=4))[0]["event_id"]
    after = events(line(page="Help"), line(**SONG, itemInSession=4))[1]["event_id"]
    other = events(line(**SONG, itemInSession=5))[0]["event_id"]
    assert alone == after != other


def test_a_location_abroad_is_a_city_without_a_country() -> None:
    [event] = events(line(location="Oslo"))
    assert event["city"] == "Oslo"
    assert "country" not in event


def test_a_play_is_held_back_no_longer_than_the_song_lasts() -> None:
    def endless() -> Any:
        yield line(**SONG)
        for step in range(1, 1_000):
            yield line(userId="7", sessionId=1, itemInSession=step, ts=BEGAN + step * 1_000)

    replay = Replay(endless())
    first = next(record for record in replay.records() if record.kind is Kind.EVENT)
    assert orjson.loads(first.value)["ms_played"] == 200_500
    assert replay.counts.lines == 202


def test_with_a_speed_records_are_due_by_their_own_times() -> None:
    rows = [line(itemInSession=index, ts=BEGAN + index * 60_000) for index in range(4)]
    [block] = Replay(rows).blocks(60.0, 5_000)
    assert block.live
    assert block.due.tolist() == [5_000, 5_000, 6_000, 7_000, 8_000]
    [block] = Replay(rows).blocks(None, 5_000)
    assert not block.live


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("60x", 60.0), ("1", 1.0)])
def test_a_speed_is_a_number_of_times_or_max(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["fast", "0x", "-3x", "inf", "nan"])
def test_a_wrong_speed_is_named(text: str) -> None:
    with pytest.raises(EncoreError, match=f"--speed '{text}'"):
        parse_speed(text)


def test_files_are_read_in_order_packed_ones_too(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.json").write_bytes(b"one\n\ntwo")
    with gzip.open(tmp_path / "b.json.gz", "wb") as file:
        file.write(b"three\n")
    paths = [tmp_path / "a.json", tmp_path / "b.json.gz"]
    assert list(read_lines(paths)) == [b"one", b"two", b"three"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoreError, match=r"gone\.json cannot be read"):
        list(read_lines([tmp_path / "gone.json"]))
