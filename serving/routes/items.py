"""Items: found, shown, and what is played of them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from encore.events import MAX_ID_LENGTH, MAX_TEXT_LENGTH
from serving.access import READS
from serving.parameters import TEXT, Count, Country, Genre, ItemId, Offset
from serving.parts import parts_of
from serving.problems import not_found
from serving.ready import keep
from serving.rendering import ITEM_COLUMNS, ITEM_JOINS, answer, item
from serving.schemas import Item, ItemPage, Popular, Similar, Trending

router = APIRouter(tags=["items"], dependencies=[READS])

_OF_GENRE: Final = (
    "({genre}::text IS NULL OR EXISTS (SELECT FROM item_genres AS w"
    " WHERE w.item_id = {item} AND w.genre = {genre}))"
)
_ITEM: Final = f"""
SELECT i.item_id, {ITEM_COLUMNS} FROM items AS i{ITEM_JOINS} WHERE i.item_id = $1
"""  # noqa: S608 (of constants, as are all below)
_ALL: Final = f"""
SELECT i.item_id, {ITEM_COLUMNS} FROM items AS i{ITEM_JOINS}
 WHERE {_OF_GENRE.format(genre="$3", item="i.item_id")}
   AND ($4::text IS NULL OR i.artist_id = $4)
 ORDER BY i.item_id LIMIT $1 OFFSET $2
"""  # noqa: S608
_FOUND: Final = f"""
SELECT i.item_id, {ITEM_COLUMNS} FROM item_matches($5) AS m JOIN items AS i USING (item_id){ITEM_JOINS}
 WHERE {_OF_GENRE.format(genre="$3", item="i.item_id")}
   AND ($4::text IS NULL OR i.artist_id = $4)
 ORDER BY m.score DESC, i.item_id LIMIT $1 OFFSET $2
"""  # noqa: E501, S608
_LATEST: Final = f"""
SELECT i.item_id, {ITEM_COLUMNS} FROM items AS i{ITEM_JOINS}
 WHERE {_OF_GENRE.format(genre="$3", item="i.item_id")} AND i.released_at <= now()
 ORDER BY i.released_at DESC NULLS LAST, i.item_id LIMIT $1 OFFSET $2
"""  # noqa: S608
_SIMILAR: Final = f"""
SELECT h.model_run_id, h.there, s.rank, s.score, s.source, s.item_id, s.title, s.artist_id,
       s.artist, s.album_id, s.album, s.duration_ms, s.released_at, s.genres
  FROM (SELECT p.model_run_id, EXISTS (SELECT FROM items WHERE item_id = $1) AS there
          FROM (SELECT 1) AS always LEFT JOIN published_run AS p ON true) AS h
  LEFT JOIN (SELECT s.model_run_id, s.rank, s.score, s.source, s.similar_item_id AS item_id,
                    {ITEM_COLUMNS}
               FROM similar_items AS s LEFT JOIN items AS i ON i.item_id = s.similar_item_id
               {ITEM_JOINS}
              WHERE s.item_id = $1 AND ($3::text IS NULL OR s.source = $3)) AS s
         USING (model_run_id)
 ORDER BY s.rank LIMIT $2
"""  # noqa: S608
_TRENDING: Final = f"""
SELECT t.item_id, t.score, {ITEM_COLUMNS}
  FROM (SELECT t.item_id, t.heat,
               halved(t.score, now() - t.as_of,
                      feature_setting('feature_trend_half_life_hours') * 3600) AS score
          FROM item_trends AS t
         WHERE t.country = coalesce($4, '') AND t.heat IS NOT NULL
           AND {_OF_GENRE.format(genre="$3", item="t.item_id")}
         ORDER BY t.heat DESC NULLS LAST, t.item_id LIMIT $1 OFFSET $2) AS t
  LEFT JOIN items AS i USING (item_id){ITEM_JOINS}
 ORDER BY t.heat DESC, t.item_id
"""  # noqa: S608
_POPULAR: Final = f"""
SELECT d.item_id, d.plays, d.completes, d.skips, d.likes, {ITEM_COLUMNS}
  FROM (SELECT d.item_id, sum(d.plays)::bigint AS plays, sum(d.completes)::bigint AS completes,
               sum(d.skips)::bigint AS skips, sum(d.likes)::bigint AS likes
          FROM item_counts_day AS d
         WHERE d.bucket_start >= $4 AND {_OF_GENRE.format(genre="$3", item="d.item_id")}
         GROUP BY d.item_id
        HAVING sum(d.plays) > 0
         ORDER BY sum(d.plays) DESC, d.item_id LIMIT $1 OFFSET $2) AS d
  LEFT JOIN items AS i USING (item_id){ITEM_JOINS}
 ORDER BY d.plays DESC, d.item_id
"""  # noqa: S608


@router.get("/items", response_model=ItemPage)
async def items(
    request: Request,
    q: Annotated[
        str | None,
        Query(
            description="Words of the title or the artist, or what is nearly that.",
            min_length=1,
            max_length=MAX_TEXT_LENGTH,
            pattern=TEXT,
        ),
    ] = None,
    genre: Genre = None,
    artist_id: Annotated[
        str | None,
        Query(
            description="Of this artist only.",
            min_length=1,
            max_length=MAX_ID_LENGTH,
            pattern=TEXT,
        ),
    ] = None,
    n: Count = 20,
    offset: Offset = 0,
) -> Response:
    """Find items: by text the best match first, else in the order of their ids."""
    values = [n + 1, offset, genre, artist_id]
    if q is None:
        return await _page(request, _ALL, values)
    return await _page(request, _FOUND, [*values, q])


@router.get("/latest", response_model=ItemPage)
async def latest(
    request: Request, genre: Genre = None, n: Count = 20, offset: Offset = 0
) -> Response:
    """Say what came out, the newest first."""
    return await _page(request, _LATEST, [n + 1, offset, genre])


async def _page(request: Request, statement: str, values: list[Any]) -> Response:
    """Answer with a page; the first two values are one more than its size, and the offset."""
    n, offset = values[0] - 1, values[1]
    rows = await parts_of(request).reader.rows(statement, *values)
    return answer(
        {"items": [item(row) for row in rows[:n]], "offset": offset, "more": len(rows) > n}
    )


@router.get("/items/{item_id}", response_model=Item)
async def one_item(request: Request, item_id: ItemId) -> Response:
    """Show an item."""
    row = await parts_of(request).reader.row(_ITEM, item_id)
    if row is None:
        raise not_found("item", item_id)
    keep(request)
    return answer(item(row))


@router.get("/items/{item_id}/similar", response_model=Similar)
async def similar(
    request: Request,
    item_id: ItemId,
    n: Count = 10,
    source: Annotated[
        Literal["factors", "co-listening", "text"] | None,
        Query(description="Only what this source has first."),
    ] = None,
) -> Response:
    """Say what is like an item, by the published run: factors, co-listening and text joined."""
    rows = await parts_of(request).reader.rows(_SIMILAR, item_id, n, source)
    found = [row for row in rows if row["item_id"] is not None]
    if not found and not rows[0]["there"]:
        raise not_found("item", item_id)
    keep(request)
    return answer(
        {
            "item_id": item_id,
            "model_run_id": rows[0]["model_run_id"],
            "similar": [
                {
                    "rank": rank,
                    "score": row["score"],
                    "source": row["source"],
                    "item": item(row),
                }
                for rank, row in enumerate(found, 1)
            ],
        }
    )


@router.get("/trending", response_model=Trending)
async def trending(
    request: Request,
    genre: Genre = None,
    country: Country = None,
    n: Count = 20,
    offset: Offset = 0,
) -> Response:
    """Say what trends as of now, everywhere or in a country."""
    rows = await parts_of(request).reader.rows(_TRENDING, n, offset, genre, country)
    return answer(
        {
            "genre": genre,
            "country": country,
            "items": [
                {"rank": rank, "score": row["score"], "item": item(row)}
                for rank, row in enumerate(rows, offset + 1)
            ],
        }
    )


@router.get("/popular", response_model=Popular)
async def popular(
    request: Request,
    genre: Genre = None,
    days: Annotated[
        int, Query(description="By the plays of so many days, today among them.", ge=1, le=36_500)
    ] = 7,
    n: Count = 20,
    offset: Offset = 0,
) -> Response:
    """Say what was played most in the last days, by event time (UTC)."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=days - 1)
    rows = await parts_of(request).reader.rows(_POPULAR, n, offset, genre, since)
    return answer(
        {
            "genre": genre,
            "days": days,
            "since": since.date(),
            "items": [
                {
                    "rank": rank,
                    **{name: row[name] for name in ("plays", "completes", "skips", "likes")},
                    "item": item(row),
                }
                for rank, row in enumerate(rows, offset + 1)
            ],
        }
    )
