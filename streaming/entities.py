"""Users and items from their compacted topics into the tables of entities."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from encore.events import Reason
from streaming.sink.merge import Scripted, Target

_USER_COLUMNS = (
    "user_id",
    "name",
    "birth_year",
    "gender",
    "city",
    "country",
    "time_zone",
    "device",
    "level",
    "registered_at",
    "updated_at",
)


def _time(name: str) -> Column:
    return F.timestamp_millis(f"{name}_ts").alias(f"{name}_at")


def with_tombstones(checked: DataFrame, key: str) -> DataFrame:
    """Turn records without a value into deletions: ``deleted`` is true, the key is the id."""
    deleted = (
        (F.col("reason") == Reason.EMPTY.value) & F.col("value").isNull() & F.col("key").isNotNull()
    )
    return checked.withColumns(
        {
            "deleted": F.coalesce(deleted, F.lit(False)),
            key: F.when(deleted, F.col("key").cast("string")).otherwise(F.col(key)),
            "reason": F.when(F.coalesce(deleted, F.lit(False)), F.lit(None)).otherwise(
                F.col("reason")
            ),
        }
    )


def _deletion(name: str, table: str, key: str) -> Target:
    delete = f"DELETE FROM {table} WHERE {key} IN (SELECT {key} {{rows}})"  # noqa: S608
    return Scripted(name, (key,), (delete,), like=table)


def newest(accepted: DataFrame, key: str) -> DataFrame:
    """Keep the last record of each key: within a topic, a key's offsets are its order."""
    columns = accepted.columns
    return (
        accepted.groupBy(key)
        .agg(F.max_by(F.struct(*columns), "offset").alias("last"))
        .select("last.*")
    )


def user_targets() -> list[Target]:
    """Return the tables that a user goes into."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in _USER_COLUMNS[1:])
    columns = ", ".join(_USER_COLUMNS)
    upsert = (
        f"INSERT INTO users ({columns}) SELECT {columns} {{rows}} ORDER BY user_id "
        f"ON CONFLICT (user_id) DO UPDATE SET {changes}"
    )
    return [
        Scripted("users", _USER_COLUMNS, (upsert,), like="users"),
        _deletion("user_deletions", "users", "user_id"),
    ]


def user_deltas(accepted: DataFrame) -> Mapping[str, DataFrame]:
    """Return the newest version of each user."""
    last = newest(accepted, "user_id")
    users = last.filter("NOT deleted").select(
        *_USER_COLUMNS[:-2], _time("registered"), _time("updated")
    )
    return {"users": users, "user_deletions": last.filter("deleted").select("user_id")}


def item_targets() -> list[Target]:
    """Return the tables that an item goes into, those it refers to first."""
    return [
        Scripted(
            "artists",
            ("artist_id", "name"),
            (
                "INSERT INTO artists (artist_id, name) "
                "SELECT artist_id, max(name) {rows} GROUP BY artist_id ORDER BY artist_id "
                "ON CONFLICT (artist_id) DO UPDATE "
                "SET name = coalesce(excluded.name, artists.name)",
            ),
            like="artists",
        ),
        Scripted(
            "albums",
            ("album_id", "title", "artist_id"),
            (
                "INSERT INTO albums (album_id, title, artist_id) "
                "SELECT album_id, max(title), max(artist_id) {rows} "
                "GROUP BY album_id ORDER BY album_id ON CONFLICT (album_id) DO UPDATE "
                "SET title = coalesce(excluded.title, albums.title), "
                "artist_id = coalesce(excluded.artist_id, albums.artist_id)",
            ),
            like="albums",
        ),
        Scripted(
            "items",
            (
                "item_id",
                "title",
                "artist_id",
                "album_id",
                "duration_ms",
                "released_at",
                "updated_at",
            ),
            (
                "INSERT INTO items (item_id, title, artist_id, album_id, duration_ms, "
                "released_at, updated_at) SELECT item_id, title, artist_id, album_id, "
                "duration_ms, released_at, updated_at {rows} ORDER BY item_id "
                "ON CONFLICT (item_id) DO UPDATE SET title = excluded.title, "
                "artist_id = excluded.artist_id, album_id = excluded.album_id, "
                "duration_ms = excluded.duration_ms, released_at = excluded.released_at, "
                "updated_at = excluded.updated_at",
                "DELETE FROM item_genres WHERE item_id IN (SELECT item_id {rows})",
            ),
            like="items",
        ),
        Scripted(
            "item_genres",
            ("item_id", "genre", "position"),
            (
                "INSERT INTO genres (genre) SELECT DISTINCT genre {rows} ORDER BY genre "
                "ON CONFLICT DO NOTHING",
                "INSERT INTO item_genres (item_id, genre, position) "
                "SELECT item_id, genre, min(position) {rows} GROUP BY item_id, genre "
                "ORDER BY item_id, genre ON CONFLICT DO NOTHING",
            ),
            like="item_genres",
        ),
        _deletion("item_deletions", "items", "item_id"),
    ]


def item_deltas(accepted: DataFrame) -> Mapping[str, DataFrame]:
    """Return the newest version of each item, its artist, its album and its genres."""
    last = newest(accepted, "item_id")
    items = last.filter("NOT deleted")
    genres = items.select("item_id", F.posexplode("genres").alias("before", "genre"))
    return {
        "artists": items.filter("artist_id IS NOT NULL")
        .select("artist_id", F.col("artist_name").alias("name"))
        .distinct(),
        "albums": items.filter("album_id IS NOT NULL")
        .select("album_id", F.col("album_title").alias("title"), "artist_id")
        .distinct(),
        "items": items.select(
            "item_id",
            "title",
            "artist_id",
            "album_id",
            "duration_ms",
            _time("released"),
            _time("updated"),
        ),
        "item_genres": genres.filter("genre IS NOT NULL").select(
            "item_id", "genre", (F.col("before") + 1).alias("position")
        ),
        "item_deletions": last.filter("deleted").select("item_id"),
    }
