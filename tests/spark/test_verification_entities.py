"""What users and items must be, from topics of which Kafka keeps the newest records only."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from verification import entities
from verification.entities import JudgedEntities, judge_items, judge_users
from verification.events import Fates

pytestmark = pytest.mark.spark

ARRIVED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SOURCE = "key binary, value binary, partition int, offset long, arrived_at timestamp"
Named = tuple[str, dict[str, Any] | None]


def records(spark: SparkSession, values: dict[int, Named]) -> DataFrame:
    rows = [
        (one.encode(), None if value is None else json.dumps(value).encode(), 0, offset, ARRIVED)
        for offset, (one, value) in values.items()
    ]
    return spark.createDataFrame(rows, SOURCE)


def users_of(
    spark: SparkSession, values: dict[int, Named], counted: int | None = None
) -> JudgedEntities:
    end = max(values) + 1 if counted is None else counted
    return judge_users(records(spark, values), {0: (0, end)})


def items_of(
    spark: SparkSession, values: dict[int, Named], counted: int | None = None
) -> JudgedEntities:
    end = max(values) + 1 if counted is None else counted
    return judge_items(records(spark, values), {0: (0, end)})


def user(user_id: str, **more: Any) -> Named:
    return user_id, {"user_id": user_id, "schema_version": 1, **more}


def item(item_id: str, **more: Any) -> Named:
    return item_id, {"item_id": item_id, "schema_version": 1, "title": "One", **more}


def unsure(judged: JudgedEntities) -> set[str]:
    found = judged.unsure
    return set() if found is None else {row[0] for row in found.collect()}


def test_the_last_version_of_a_user_counts(spark: SparkSession) -> None:
    versions = [user("u1", level="free"), user("u2", level="free"), user("u1", level="paid")]
    found = entities.expected_users(users_of(spark, dict(enumerate(versions)))).collect()
    assert {row.user_id: row.level for row in found} == {"u1": "paid", "u2": "free"}


def test_a_record_without_a_value_deletes(spark: SparkSession) -> None:
    versions: list[Named] = [user("u1"), ("u1", None), ("u2", None), user("u2")]
    judged = users_of(spark, dict(enumerate(versions)))
    assert [row.user_id for row in entities.expected_users(judged).collect()] == ["u2"]
    assert judged.fates == {0: Fates(found=4, accepted=4, late=0, rejected=0)}


def test_an_item_brings_its_artist_its_album_and_its_genres(spark: SparkSession) -> None:
    first = item(
        "t1",
        artist_id="ar1",
        artist_name="The Ones",
        album_id="al1",
        album_title="First",
        genres=["Rock", None, "Pop", "Rock"],
        released_ts=1_541_030_400_000,
    )
    judged = items_of(spark, {0: first, 1: item("t2")})
    (artist,) = entities.expected_artists(judged).collect()
    assert (artist.artist_id, artist.name, artist.needed) == ("ar1", [("The Ones",)], True)
    (album,) = entities.expected_albums(judged).collect()
    assert (album.title, album.artist_id) == ([("First",)], [("ar1",)])
    genres = entities.expected_item_genres(judged).collect()
    assert {(row.genre, row.position) for row in genres} == {("Rock", 1), ("Pop", 3)}
    assert entities.expected_genres(judged).count() == 2
    rows = {row.item_id: row for row in entities.expected_items(judged).collect()}
    assert rows["t1"].released_at == datetime(2018, 11, 1)  # noqa: DTZ001 (session zone is UTC)
    assert rows["t2"].artist_id is None


def test_what_only_a_replaced_version_named_may_be_there_but_need_not(spark: SparkSession) -> None:
    judged = items_of(spark, {0: item("t1", genres=["Old"]), 1: item("t1", genres=["New"])})
    found = {row.genre: row.needed for row in entities.expected_genres(judged).collect()}
    assert found == {"Old": False, "New": True}


def test_versions_beyond_the_counted_offsets_do_not_count(spark: SparkSession) -> None:
    versions = {0: user("u1", level="free"), 1: user("u1", level="paid")}
    judged = users_of(spark, versions, counted=1)
    assert [row.level for row in entities.expected_users(judged).collect()] == ["free"]
    assert judged.whole
    assert unsure(judged) == set()


def test_keys_whose_counted_version_may_be_compacted_away_are_unsure(spark: SparkSession) -> None:
    # Offsets 0 and 1 are gone: u1 came again beyond the counted ones, u2 with a broken record.
    versions: dict[int, Named] = {2: user("u2", level="gold"), 3: user("u3"), 4: user("u1")}
    judged = users_of(spark, versions, counted=4)
    assert not judged.whole
    assert unsure(judged) == {"u1", "u2"}


def test_artists_that_no_record_names_any_more_are_unsure(spark: SparkSession) -> None:
    judged = items_of(spark, {1: item("t1", artist_id="new", artist_name="New")})
    stored = spark.createDataFrame(
        [("old", "Old"), ("new", "New")], "artist_id string, name string"
    )
    found = entities.unsure_of(entities.ARTISTS, judged, stored)
    assert found is not None
    assert [row.artist_id for row in found.collect()] == ["old"]
