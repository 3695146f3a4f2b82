"""Users and items from their compacted topics into the tables of entities."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streaming.features.grouping import Coded
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
_ITEM_COLUMNS = ("item_id", "title", "artist_id", "album_id", "duration_ms")


def _deletion(name: str, table: str, key: str) -> Target:
    delete = f"DELETE FROM {table} WHERE {key} IN (SELECT {key} {{rows}})"  # noqa: S608
    return Scripted(name, (key,), (delete,), like=table)


def newest(accepted: pa.Table, key: str) -> pa.Table:
    """Keep the last record of each key.

    Within a partition offsets are the order, whatever the clocks say; of a key in several, which
    is what a topic that gained partitions has, the one that arrived last counts.
    """
    in_partition = _last(accepted, (key, "partition"), "offset")
    return _last(in_partition, (key,), "arrived_ms")


def _last(table: pa.Table, keys: Sequence[str], by: str) -> pa.Table:
    codes = [Coded.of(table.column(name).cast(pa.string())).codes for name in keys]
    order = np.lexsort((table.column(by).to_numpy(), *reversed(codes)))
    changes = np.zeros(len(order), bool)
    for one in codes:
        ordered = one[order]
        changes[:-1] |= ordered[1:] != ordered[:-1]
    changes[-1:] = True
    return table.take(pa.array(order[changes]))


def user_targets(erasing: Target) -> list[Target]:
    """Return the tables that a user goes into; ``erasing`` takes those who are deleted.

    They are deleted before: of one who is deleted and comes back in the same batch, nothing older
    stays.
    """
    changes = ", ".join(f"{name} = excluded.{name}" for name in _USER_COLUMNS[1:])
    columns = ", ".join(_USER_COLUMNS)
    upsert = (
        f"INSERT INTO users ({columns}) SELECT {columns} {{rows}} ORDER BY user_id "
        f"ON CONFLICT (user_id) DO UPDATE SET {changes}"
    )
    return [
        erasing,
        Scripted("users", _USER_COLUMNS, (upsert,), like="users"),
    ]


def user_deltas(accepted: pa.Table) -> Mapping[str, pa.Table]:
    """Return the newest version of each user, and everyone who was deleted meanwhile."""
    last = newest(accepted, "user_id")
    users = _announced(last)
    table = users.select(_USER_COLUMNS[:-2])
    born = table.schema.get_field_index("birth_year")
    table = table.set_column(born, "birth_year", table.column(born).cast(pa.int16()))
    table = table.append_column("registered_at", _instants(users, "registered_ts"))
    table = table.append_column("updated_at", _instants(users, "updated_ts"))
    return {"users": table, "user_deletions": _deleted(accepted).select(["user_id"])}


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


def item_deltas(accepted: pa.Table) -> Mapping[str, pa.Table]:
    """Return the newest version of each item, its artist, its album and its genres."""
    last = newest(accepted, "item_id")
    items = _announced(last)
    by_artist = items.filter(pc.is_valid(items.column("artist_id")))
    on_album = items.filter(pc.is_valid(items.column("album_id")))
    return {
        "artists": _distinct(by_artist, {"artist_id": "artist_id", "name": "artist_name"}),
        "albums": _distinct(
            on_album, {"album_id": "album_id", "title": "album_title", "artist_id": "artist_id"}
        ),
        "items": pa.table(
            {
                **{name: items.column(name) for name in _ITEM_COLUMNS},
                "released_at": _instants(items, "released_ts"),
                "updated_at": _instants(items, "updated_ts"),
            }
        ),
        "item_genres": _genres(items),
        "item_deletions": _deleted(last).select(["item_id"]),
    }


def _genres(items: pa.Table) -> pa.Table:
    listed = items.select(["item_id", "genres"]).combine_chunks()
    genres = listed.column("genres").combine_chunks()
    parent = pc.list_parent_indices(genres)
    parents = parent.to_numpy()
    first_of_item = np.searchsorted(parents, parents)
    rows = pa.table(
        {
            "item_id": listed.column("item_id").take(parent),
            "genre": pc.list_flatten(genres),
            "position": pa.array(np.arange(len(parents)) - first_of_item + 1, pa.int16()),
        }
    )
    return rows.filter(pc.is_valid(rows.column("genre")))


def _distinct(table: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    renamed = pa.table({name: table.column(source) for name, source in columns.items()})
    return renamed.group_by(list(columns), use_threads=False).aggregate([])


def _announced(last: pa.Table) -> pa.Table:
    return last.filter(pc.invert(last.column("deleted")))


def _deleted(last: pa.Table) -> pa.Table:
    return last.filter(last.column("deleted"))


def _instants(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table.column(name).cast(pa.timestamp("ms", tz="UTC"))
