"""From rows to the bodies of answers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import orjson
from starlette.responses import Response

# Of ``items AS i``, which may lack the item: then its id alone is known.
ITEM_COLUMNS: Final = (
    "i.title, i.artist_id, ar.name AS artist, i.album_id, al.title AS album, i.duration_ms,"
    " i.released_at, ARRAY(SELECT g.genre FROM item_genres AS g WHERE g.item_id = i.item_id"
    " ORDER BY g.position, g.genre) AS genres"
)
ITEM_JOINS: Final = (
    " LEFT JOIN artists AS ar ON ar.artist_id = i.artist_id"
    " LEFT JOIN albums AS al ON al.album_id = i.album_id"
)


def answer(body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return a body as it goes over the wire."""
    return Response(orjson.dumps(body), status.value, media_type="application/json")


def item(row: asyncpg.Record) -> dict[str, Any]:
    """Return the item of a row that has ``item_id`` and the item's columns."""
    return {
        "item_id": row["item_id"],
        "title": row["title"],
        "artist_id": row["artist_id"],
        "artist": row["artist"],
        "album_id": row["album_id"],
        "album": row["album"],
        "genres": row["genres"],
        "duration_ms": row["duration_ms"],
        "released_at": row["released_at"],
    }
