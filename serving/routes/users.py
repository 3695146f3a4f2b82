"""Listeners: who they are, what they did, what they know."""

from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from serving.access import READS
from serving.parameters import Count, Offset, UserId
from serving.parts import parts_of
from serving.problems import not_found
from serving.reader import plain
from serving.rendering import ITEM_COLUMNS, ITEM_JOINS, answer, item
from serving.schemas import Features, History, Known, User

router = APIRouter(tags=["users"], dependencies=[READS])

# Who is not announced is known by what they did.
_USER: Final = """
SELECT k.user_id, u.user_id IS NOT NULL AS announced, u.name, u.birth_year, u.gender, u.city,
       u.country, u.time_zone, u.device, u.level, u.registered_at, u.updated_at
  FROM (SELECT user_id FROM users WHERE user_id = $1
         UNION SELECT user_id FROM user_counts_day WHERE user_id = $1
         UNION SELECT user_id FROM user_item_affinity WHERE user_id = $1) AS k
  LEFT JOIN users AS u USING (user_id)
"""
_ACTIVITY: Final = """
SELECT events, plays, completes, skips, likes, dislikes, playlist_adds,
       minutes_played::float8 AS minutes_played, skip_rate, sessions, active_days, first_seen_at,
       last_seen_at
  FROM user_activity WHERE user_id = $1
"""
_GENRES: Final = """
SELECT genre, signal, plays, likes FROM user_genre_affinity
 WHERE user_id = $1 ORDER BY signal DESC, genre LIMIT $2
"""
_ARTISTS: Final = """
SELECT a.artist_id, ar.name AS artist, a.signal, a.plays, a.likes
  FROM user_artist_affinity AS a LEFT JOIN artists AS ar USING (artist_id)
 WHERE a.user_id = $1 ORDER BY a.signal DESC, a.artist_id LIMIT $2
"""
_HEARD: Final = (
    "signal",
    "plays",
    "completes",
    "skips",
    "likes",
    "unlikes",
    "dislikes",
    "playlist_adds",
    "first_at",
    "last_at",
)
_HISTORY: Final = f"""
SELECT k.item_id, {", ".join(f"k.{name}" for name in _HEARD)}, {ITEM_COLUMNS}
  FROM (SELECT * FROM user_item_affinity AS k WHERE k.user_id = $1
         ORDER BY k.last_at DESC, k.item_id LIMIT $2 OFFSET $3) AS k
  LEFT JOIN items AS i USING (item_id){ITEM_JOINS}
 ORDER BY k.last_at DESC, k.item_id
"""  # noqa: S608 (of constants)
_KNOWN: Final = """
SELECT item_id FROM user_item_affinity WHERE user_id = $1 ORDER BY item_id LIMIT $2 OFFSET $3
"""


@router.get("/users/{user}", response_model=User)
async def one_user(request: Request, user: UserId) -> Response:
    """Show a listener as announced."""
    return answer(dict(await _known(request, user)))


@router.get("/users/{user}/features", response_model=Features)
async def features(
    request: Request,
    user: UserId,
    n: Annotated[int, Query(description="Most genres, and artists.", ge=1, le=100)] = 10,
) -> Response:
    """Say what a listener likes, the most liked first, and what they did in total."""
    await _known(request, user)
    reader = parts_of(request).reader
    activity = await reader.row(_ACTIVITY, user)
    return answer(
        {
            "user_id": user,
            "activity": dict(activity) if activity else None,
            "genres": plain(await reader.rows(_GENRES, user, n)),
            "artists": plain(await reader.rows(_ARTISTS, user, n)),
        }
    )


@router.get("/users/{user}/history", response_model=History)
async def history(request: Request, user: UserId, n: Count = 20, offset: Offset = 0) -> Response:
    """Say what a listener did with which item, the newest first."""
    rows = await _page(request, user, _HISTORY, n, offset)
    heard = [{**{name: row[name] for name in _HEARD}, "item": item(row)} for row in rows[:n]]
    return answer({"user_id": user, "history": heard, **_place(rows, n, offset)})


@router.get("/users/{user}/known", response_model=Known)
async def known(request: Request, user: UserId, n: Count = 100, offset: Offset = 0) -> Response:
    """List the items that are not recommended to a listener, since they know them."""
    rows = await _page(request, user, _KNOWN, n, offset)
    ids = [row["item_id"] for row in rows[:n]]
    return answer({"user_id": user, "item_ids": ids, **_place(rows, n, offset)})


async def _page(
    request: Request, user: str, statement: str, n: int, offset: int
) -> list[asyncpg.Record]:
    rows = await parts_of(request).reader.rows(statement, user, n + 1, offset)
    if not rows:
        await _known(request, user)  # who did nothing is told from who is not there
    return rows


def _place(rows: list[asyncpg.Record], n: int, offset: int) -> dict[str, Any]:
    return {"offset": offset, "more": len(rows) > n}


async def _known(request: Request, user: str) -> asyncpg.Record:
    row = await parts_of(request).reader.row(_USER, user)
    if row is None:
        raise not_found("user", user)
    return row
