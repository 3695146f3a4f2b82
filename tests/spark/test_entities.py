"""Users and items: the newest version of a key, and deletions."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from encore.events import ITEM_FIELDS, USER_FIELDS
from streaming.entities import item_deltas, user_deltas, with_tombstones
from streaming.parse import check, parse

pytestmark = pytest.mark.spark

ARRIVED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SOURCE = "key binary, value binary, partition int, offset long, arrived_at timestamp"


def accepted(
    spark: SparkSession, fields: Any, key: str, values: list[tuple[str, dict[str, Any] | None]]
) -> DataFrame:
    rows = [
        (one.encode(), None if value is None else json.dumps(value).encode(), 0, offset, ARRIVED)
        for offset, (one, value) in enumerate(values)
    ]
    checked = check(parse(spark.createDataFrame(rows, SOURCE), fields), fields)
    return with_tombstones(checked, key).filter("reason IS NULL")


def user(user_id: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return user_id, {"user_id": user_id, "schema_version": 1, **more}


def item(item_id: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return item_id, {"item_id": item_id, "schema_version": 1, "title": "One", **more}


def test_the_last_version_of_a_user_counts(spark: SparkSession) -> None:
    rows = accepted(
        spark,
        USER_FIELDS,
        "user_id",
        [user("u1", level="free"), user("u2", level="free"), user("u1", level="paid")],
    )
    found = user_deltas(rows)["users"].collect()
    assert {row.user_id: row.level for row in found} == {"u1": "paid", "u2": "free"}


def test_a_record_without_a_value_deletes(spark: SparkSession) -> None:
    rows = accepted(
        spark, USER_FIELDS, "user_id", [user("u1"), ("u1", None), ("u2", None), user("u2")]
    )
    deltas = user_deltas(rows)
    assert [row.user_id for row in deltas["user_deletions"].collect()] == ["u1"]
    assert [row.user_id for row in deltas["users"].collect()] == ["u2"]


def test_an_item_brings_its_artist_its_album_and_its_genres(spark: SparkSession) -> None:
    first = item(
        "t1",
        artist_id="ar1",
        artist_name="The Ones",
        album_id="al1",
        album_title="First",
        genres=["Rock", "Pop"],
        released_ts=1_541_030_400_000,
    )
    deltas = item_deltas(accepted(spark, ITEM_FIELDS, "item_id", [first, item("t2")]))
    assert [tuple(row) for row in deltas["artists"].collect()] == [("ar1", "The Ones")]
    assert [tuple(row) for row in deltas["albums"].collect()] == [("al1", "First", "ar1")]
    assert [tuple(row) for row in deltas["item_genres"].collect()] == [
        ("t1", "Rock", 1),
        ("t1", "Pop", 2),
    ]
    items = {row.item_id: row for row in deltas["items"].collect()}
    assert items["t1"].released_at == datetime(2018, 11, 1)  # noqa: DTZ001 (session zone is UTC)
    assert items["t2"].artist_id is None
