"""What is played: charts with movement, genres and items over time, visits that last."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import asyncpg
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from serving.access import READS
from serving.insights import Charts, GenreActivity, ItemActivity, OpenSessions
from serving.parameters import Count, Genre, ItemId, Offset
from serving.parts import parts_of
from serving.problems import not_found
from serving.rendering import ITEM_COLUMNS, ITEM_JOINS, answer, item

router = APIRouter(tags=["music"], dependencies=[READS])


@dataclass(frozen=True)
class Grain:
    """A table of counts, and how long its buckets are."""

    table: str
    seconds: int

    def end(self, now: datetime) -> datetime:
        """Return when the bucket ends that is on."""
        passed = int(now.timestamp()) // self.seconds
        return datetime.fromtimestamp((passed + 1) * self.seconds, UTC)


GRAINS: Final = {
    "5m": Grain("item_counts_5m", 300),
    "hour": Grain("item_counts_hour", 3_600),
    "day": Grain("item_counts_day", 86_400),
}
# How many buckets of which grain make a span.
_SPANS: Final = {"hour": ("5m", 12), "day": ("hour", 24), "week": ("day", 7)}
_OPEN_COUNTED: Final = 100_000

_PLAYS: Final = """
SELECT c.item_id, sum(c.plays)::bigint AS plays, rank() OVER (ORDER BY sum(c.plays) DESC) AS rank
  FROM {table} AS c
 WHERE c.bucket_start >= {since} AND c.bucket_start < {until}
   AND ($3::text IS NULL OR EXISTS (SELECT FROM item_genres AS w
                                     WHERE w.item_id = c.item_id AND w.genre = $3))
 GROUP BY c.item_id HAVING sum(c.plays) > 0
"""
_CHARTS: Final = f"""
SELECT t.item_id, t.rank, t.plays, b.rank AS rank_before, b.plays AS plays_before, {ITEM_COLUMNS}
  FROM (SELECT * FROM ({_PLAYS.format(table="{table}", since="$5", until="$6")}) AS t
         ORDER BY t.rank, t.item_id LIMIT $1 OFFSET $2) AS t
  LEFT JOIN ({_PLAYS.format(table="{table}", since="$4", until="$5")}) AS b USING (item_id)
  LEFT JOIN items AS i USING (item_id){ITEM_JOINS}
 ORDER BY t.rank, t.item_id
"""  # noqa: S608 (of constants, as are all below)
_GENRES: Final = """
SELECT g.genre, c.bucket_start, sum(c.plays)::bigint AS plays
  FROM {table} AS c JOIN item_genres AS g USING (item_id)
 WHERE c.bucket_start >= $1 AND c.bucket_start < $2
 GROUP BY g.genre, c.bucket_start HAVING sum(c.plays) > 0
"""
_ACTIVITY: Final = """
SELECT b.start, c.item_id IS NOT NULL OR EXISTS (SELECT FROM items WHERE item_id = $1) AS there,
       coalesce(c.plays, 0) AS plays, coalesce(c.completes, 0) AS completes,
       coalesce(c.skips, 0) AS skips, coalesce(c.likes, 0) AS likes
  FROM generate_series($2::timestamptz, $3::timestamptz - $4::interval, $4::interval) AS b (start)
  LEFT JOIN {table} AS c ON c.item_id = $1 AND c.bucket_start = b.start
 ORDER BY b.start
"""
_SESSIONS: Final = f"""
SELECT c.open, s.*
  FROM (SELECT count(*) AS open
          FROM (SELECT FROM sessions WHERE open LIMIT {_OPEN_COUNTED}) AS o) AS c
  LEFT JOIN (
    SELECT s.user_id, u.name, u.country, s.session_id, s.started_at, s.last_event_at, s.plays,
           s.completes, s.skips, s.ms_played, h.item_id, {ITEM_COLUMNS}
      FROM (SELECT * FROM sessions WHERE open
             ORDER BY last_event_at DESC, user_id, session_id LIMIT $1 OFFSET $2) AS s
      LEFT JOIN users AS u USING (user_id)
      LEFT JOIN LATERAL (SELECT a.item_id FROM user_item_affinity AS a
                          WHERE a.user_id = s.user_id AND a.last_at >= s.started_at
                          ORDER BY a.last_at DESC, a.item_id LIMIT 1) AS h ON true
      LEFT JOIN items AS i ON i.item_id = h.item_id{ITEM_JOINS}) AS s ON true
 ORDER BY s.last_event_at DESC, s.user_id, s.session_id
"""  # noqa: S608
_OF_SESSION: Final = (
    "user_id", "name", "country", "session_id", "started_at", "last_event_at", "plays",
    "completes", "skips", "ms_played",
)  # fmt: skip


@router.get("/charts", response_model=Charts)
async def charts(
    request: Request,
    span: Annotated[
        Literal["hour", "day", "week"],
        Query(description="The last hour, day or week of event time, against the one before."),
    ] = "hour",
    genre: Genre = None,
    n: Count = 20,
    offset: Offset = 0,
) -> Response:
    """Say what is played most by place, and which place it had in the span before."""
    name, buckets = _SPANS[span]
    grain = GRAINS[name]
    until = grain.end(datetime.now(UTC))
    length = timedelta(seconds=grain.seconds * buckets)
    rows = await parts_of(request).reader.rows(
        _CHARTS.format(table=grain.table),
        n, offset, genre, until - 2 * length, until - length, until,
    )  # fmt: skip
    return answer(
        {
            "span": span,
            "genre": genre,
            "since": until - length,
            "until": until,
            "items": [_charted(row) for row in rows],
        }
    )


def _charted(row: asyncpg.Record) -> dict[str, Any]:
    before = None
    if row["rank_before"] is not None:
        before = {"rank": row["rank_before"], "plays": row["plays_before"]}
    return {"rank": row["rank"], "plays": row["plays"], "before": before, "item": item(row)}


@router.get("/genres/activity", response_model=GenreActivity)
async def genres(
    request: Request,
    by: Annotated[Literal["hour", "day"], Query(description="How long a bucket is.")] = "hour",
    n: Annotated[
        int, Query(description="How many buckets, the one that is on the last.", ge=1, le=168)
    ] = 24,
    most: Annotated[int, Query(description="Most genres.", ge=1, le=100)] = 8,
) -> Response:
    """Say how much each genre was played over time."""
    starts, until = _buckets(GRAINS[by], n)
    rows = await parts_of(request).reader.rows(
        _GENRES.format(table=GRAINS[by].table), starts[0], until
    )
    place = {start: number for number, start in enumerate(starts)}
    plays: defaultdict[str, list[int]] = defaultdict(lambda: [0] * n)
    for row in rows:
        plays[row["genre"]][place[row["bucket_start"]]] = row["plays"]
    ordered = sorted(plays.items(), key=lambda one: (-sum(one[1]), one[0]))[:most]
    found = [
        {"genre": one, "total": sum(by_bucket), "plays": by_bucket} for one, by_bucket in ordered
    ]
    return answer({"by": by, "starts": starts, "genres": found})


@router.get("/items/{item_id}/activity", response_model=ItemActivity)
async def activity(
    request: Request,
    item_id: ItemId,
    by: Annotated[
        Literal["5m", "hour", "day"], Query(description="How long a bucket is.")
    ] = "hour",
    n: Annotated[
        int, Query(description="How many buckets, the one that is on the last.", ge=1, le=1000)
    ] = 48,
) -> Response:
    """Say how much an item was played over time."""
    grain = GRAINS[by]
    starts, until = _buckets(grain, n)
    rows = await parts_of(request).reader.rows(
        _ACTIVITY.format(table=grain.table),
        item_id, starts[0], until, timedelta(seconds=grain.seconds),
    )  # fmt: skip
    if not any(row["there"] for row in rows):
        raise not_found("item", item_id)
    names = ("start", "plays", "completes", "skips", "likes")
    return answer(
        {
            "item_id": item_id,
            "by": by,
            "buckets": [{name: row[name] for name in names} for row in rows],
        }
    )


@router.get("/sessions/open", response_model=OpenSessions)
async def open_sessions(request: Request, n: Count = 20, offset: Offset = 0) -> Response:
    """Say who is listening: visits that last, with what was done in them so far."""
    rows = await parts_of(request).reader.rows(_SESSIONS, n, offset)
    return answer(
        {
            "open": rows[0]["open"],
            "sessions": [_session(row) for row in rows if row["session_id"] is not None],
        }
    )


def _session(row: asyncpg.Record) -> dict[str, Any]:
    last = item(row) if row["item_id"] is not None else None
    return {**{name: row[name] for name in _OF_SESSION}, "last_item": last}


def _buckets(grain: Grain, n: int) -> tuple[list[datetime], datetime]:
    """Return the starts of the last buckets, and the end of the last one."""
    until = grain.end(datetime.now(UTC))
    step = timedelta(seconds=grain.seconds)
    return [until - number * step for number in range(n, 0, -1)], until
