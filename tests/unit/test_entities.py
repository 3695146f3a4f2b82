"""Users and items: the newest version of a key, and deletions."""

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from encore.events import ITEM_FIELDS, USER_FIELDS
from streaming.entities import item_deltas, user_deltas
from streaming.records import Decoder

Row = dict[str, Any]


def accepted(decoder: Decoder, values: list[tuple[str, Row | None]]) -> pa.Table:
    batch = pa.RecordBatch.from_pydict(
        {
            "key": pa.array([key.encode() for key, _ in values], pa.binary()),
            "value": pa.array(
                [None if value is None else json.dumps(value).encode() for _, value in values],
                pa.binary(),
            ),
            "partition": pa.array([0] * len(values), pa.int32()),
            "offset": pa.array(range(len(values)), pa.int64()),
            "arrived_ms": pa.array([1_793_534_400_000] * len(values), pa.int64()),
        }
    )
    decoded = decoder.decode(batch)
    assert list(decoded.rejected) == []
    return decoded.accepted


def users(*values: tuple[str, Row | None]) -> pa.Table:
    return accepted(Decoder(USER_FIELDS, deletes="user_id"), list(values))


def items(*values: tuple[str, Row | None]) -> pa.Table:
    return accepted(Decoder(ITEM_FIELDS, deletes="item_id"), list(values))


def user(user_id: str, **more: Any) -> tuple[str, Row]:
    return user_id, {"user_id": user_id, "schema_version": 1, **more}


def item(item_id: str, **more: Any) -> tuple[str, Row]:
    return item_id, {"item_id": item_id, "schema_version": 1, "title": "One", **more}


def test_the_last_version_of_a_user_counts() -> None:
    rows = users(user("u1", level="free"), user("u2", level="free"), user("u1", level="paid"))
    found = user_deltas(rows)["users"].to_pylist()
    assert {row["user_id"]: row["level"] for row in found} == {"u1": "paid", "u2": "free"}


def test_the_last_version_is_the_one_behind_in_its_partition_whatever_the_clocks_say() -> None:
    rows = users(user("u1", level="free"), user("u1", level="paid"))
    clocks = pa.array([1_793_534_400_001, 1_793_534_400_000])
    found = user_deltas(rows.set_column(2, "arrived_ms", clocks))["users"].to_pylist()
    assert [row["level"] for row in found] == ["paid"]


def test_a_record_without_a_value_deletes_even_who_comes_back_at_once() -> None:
    deltas = user_deltas(users(user("u1"), ("u1", None), ("u2", None), user("u2")))
    assert deltas["user_deletions"].to_pylist() == [{"user_id": "u1"}, {"user_id": "u2"}]
    assert [row["user_id"] for row in deltas["users"].to_pylist()] == ["u2"]


def test_an_item_brings_its_artist_its_album_and_its_genres() -> None:
    first = item(
        "t1",
        artist_id="ar1",
        artist_name="The Ones",
        album_id="al1",
        album_title="First",
        genres=["Rock", None, "Pop"],
        released_ts=1_541_030_400_000,
    )
    deltas = item_deltas(items(first, item("t2"), item("t3", genres=["Folk"])))
    assert deltas["artists"].to_pylist() == [{"artist_id": "ar1", "name": "The Ones"}]
    assert deltas["albums"].to_pylist() == [
        {"album_id": "al1", "title": "First", "artist_id": "ar1"}
    ]
    assert deltas["item_genres"].to_pylist() == [
        {"item_id": "t1", "genre": "Rock", "position": 1},
        {"item_id": "t1", "genre": "Pop", "position": 3},
        {"item_id": "t3", "genre": "Folk", "position": 1},
    ]
    found = {row["item_id"]: row for row in deltas["items"].to_pylist()}
    assert found["t1"]["released_at"] == datetime(2018, 11, 1, tzinfo=UTC)
    assert found["t2"]["artist_id"] is None


def test_a_batch_of_deletions_alone_announces_nothing() -> None:
    deltas = item_deltas(items(("t1", None)))
    assert {name: table.num_rows for name, table in deltas.items()} == {
        "artists": 0,
        "albums": 0,
        "items": 0,
        "item_genres": 0,
        "item_deletions": 1,
    }
