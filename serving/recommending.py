"""A page of a listener's list: what ``recommendations_for`` says, capped and cut.

A page that is asked for by its place (``offset``) moves when the listener comes to know an item
above it. One that is asked for by the cursor of the page before never shows an item twice nor
leaves one out, whatever happened in between: the cursor carries what has been shown.
"""

import base64
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg
import orjson

from serving.experiments import Variant
from serving.parameters import MOST
from serving.problems import bad_request
from serving.reader import Reader
from serving.rendering import ITEM_COLUMNS, ITEM_JOINS, item

_CURSOR_BYTES: Final = 1_048_576
_DEPTH: Final = 16 * MOST
_REACH: Final = 4  # times as many items as asked for are looked at where a cap leaves some out
_OF_A_MODEL: Final = frozenset({"personal", "explore"})

# One statement sees one moment: the head and the list belong to the same run.
_LIST: Final = f"""
SELECT h.model_run_id, h.algorithm, h.published_at, h.data_to, h.live_at, h.known,
       r.item_id, r.score, r.source, r.reason, r.title, r.artist_id, r.artist, r.album_id,
       r.album, r.duration_ms, r.released_at, r.genres
  FROM (SELECT m.model_run_id, m.algorithm, m.published_at, m.data_to, l.made_at AS live_at,
               EXISTS (SELECT FROM users WHERE user_id = $1)
               OR EXISTS (SELECT FROM user_counts_day WHERE user_id = $1)
               OR EXISTS (SELECT FROM user_item_affinity WHERE user_id = $1) AS known
          FROM (SELECT 1) AS always
          LEFT JOIN published_run AS p ON true
          LEFT JOIN model_runs AS m ON m.model_run_id = coalesce($6, p.model_run_id)
          LEFT JOIN live_recommendations AS l
            ON l.user_id = $1 AND l.model_run_id = m.model_run_id AND $6::bigint IS NULL) AS h
  LEFT JOIN (SELECT f.rank, f.item_id, f.score, f.source, f.reason, {ITEM_COLUMNS}
               FROM recommendations_for($1, $2, $3, $4, $5, $6) AS f
               LEFT JOIN items AS i USING (item_id){ITEM_JOINS}) AS r ON true
 ORDER BY r.rank
"""  # noqa: S608 (of constants)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for. Caps of 0 are none; ``shown`` are the items of the pages before.

    Of an experiment: the ``variant`` shown, the ``run`` whose lists these are if not the published
    one's, and the sources that are left out (``without``).
    """

    user_id: str
    n: int
    offset: int = 0
    genre: str | None = None
    exclude: Sequence[str] = ()
    exclude_known: bool = True
    per_artist: int = 0
    per_genre: int = 0
    shown: Sequence[str] = ()
    variant: str | None = None
    run: int | None = None
    without: Sequence[str] = ()

    def shown_as(self, variant: Variant | None) -> "Ask":
        """Return what a variant makes of it; caps that are asked for go before the variant's."""
        if variant is None:
            return self
        return replace(
            self,
            per_artist=self.per_artist or variant.max_per_artist,
            per_genre=self.per_genre or variant.max_per_genre,
            variant=variant.label,
            run=variant.model_run_id,
            without=variant.without,
        )


async def recommendations(reader: Reader, ask: Ask) -> dict[str, Any]:
    """Return the answer to ``GET /recommend/{user}``.

    Raises:
        ProblemError: PostgreSQL is away.
    """
    rows = await _rows(reader, ask)
    head = rows[0]
    left = unseen(capped(rows, ask), ask)
    first = len(ask.shown) + ask.offset
    page = left[ask.offset : ask.offset + ask.n]
    shown = [*ask.shown, *(row["item_id"] for row in left[: ask.offset + ask.n])]
    more = len(left) > ask.offset + ask.n and len(shown) < MOST
    live_at = head["live_at"]
    return {
        "user_id": ask.user_id,
        "known": head["known"],
        "model_run_id": head["model_run_id"],
        "algorithm": head["algorithm"],
        "published_at": head["published_at"],
        "data_to": head["data_to"],
        "made_by": None if head["model_run_id"] is None else "live" if live_at else "run",
        "made_at": live_at or head["published_at"],
        "variant": ask.variant,
        "recommendations": [
            entry(row, rank, head["model_run_id"]) for rank, row in enumerate(page, first + 1)
        ],
        "next": to_cursor(shown) if more else None,
    }


async def _rows(reader: Reader, ask: Ask) -> Sequence[asyncpg.Record]:
    """Return as much of the list as the page takes, or all of it."""
    wanted = len(ask.shown) + ask.offset + ask.n + 1  # one more tells whether there is more
    size = wanted * (_REACH if ask.per_artist or ask.per_genre or ask.without else 1)
    while True:
        rows = await reader.rows(
            _LIST, ask.user_id, size, ask.genre, list(ask.exclude), not ask.exclude_known, ask.run
        )
        ended = len(rows) < size or size >= _DEPTH
        if ended or len(unseen(capped(rows, ask), ask)) > ask.offset + ask.n:
            return rows
        size = min(2 * size, _DEPTH)


def capped(rows: Sequence[asyncpg.Record], ask: Ask) -> list[asyncpg.Record]:
    """Keep the first of each artist and main genre; of neither there may be any number."""
    artists: Counter[str | None] = Counter()
    genres: Counter[str | None] = Counter()
    kept = []
    for row in rows:
        if row["item_id"] is None:
            continue  # the head of an empty list
        if row["source"] in ask.without:
            continue
        artist, genre = row["artist_id"], row["genres"][0] if row["genres"] else None
        if ask.per_artist and artist and artists[artist] >= ask.per_artist:
            continue
        if ask.per_genre and genre and genres[genre] >= ask.per_genre:
            continue
        artists[artist] += 1
        genres[genre] += 1
        kept.append(row)
    return kept


def unseen(rows: Sequence[asyncpg.Record], ask: Ask) -> list[asyncpg.Record]:
    """Leave out what the pages before showed."""
    shown = set(ask.shown)
    return [row for row in rows if row["item_id"] not in shown]


def entry(row: asyncpg.Record, rank: int, run: int | None) -> dict[str, Any]:
    """Return a row as an entry of a list."""
    return {
        "rank": rank,
        "score": row["score"],
        "source": row["source"],
        "reason": row["reason"],
        "model_run_id": run if row["source"] in _OF_A_MODEL else None,
        "item": item(row),
    }


def to_cursor(shown: Sequence[str]) -> str:
    """Return what the next page is asked for by."""
    return base64.urlsafe_b64encode(zlib.compress(orjson.dumps(list(shown)))).decode().rstrip("=")


def of_cursor(cursor: str) -> list[str]:
    """Return the items that the pages before a cursor showed.

    Raises:
        ProblemError: no answer gave it.
    """
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        unpacking = zlib.decompressobj()
        shown = orjson.loads(unpacking.decompress(packed, _CURSOR_BYTES))
    except (ValueError, zlib.error):
        shown = None
    told = isinstance(shown, list) and len(shown) <= MOST and unpacking.eof
    if not told or not all(isinstance(one, str) for one in shown):
        raise bad_request("cursor", "is not the `next` of an answer")
    return list(shown)
