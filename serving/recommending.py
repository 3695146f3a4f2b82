"""A page of a listener's list: what ``recommendations_for`` says, capped and cut.

A page that is asked for by its place (``offset``) moves when the listener comes to know an item
above it. One that is asked for by the cursor of the page before never shows an item twice nor
leaves one out, whatever happened in between: the cursor carries what has been shown.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import asyncpg
import orjson

from serving.cards import Cards
from serving.entries import Entry, capped, entries_of, listed
from serving.experiments import Variant
from serving.parameters import MOST
from serving.problems import bad_request
from serving.reader import Reader

_CURSOR_BYTES: Final = 1_048_576
_WORTH_PACKING: Final = 512  # bytes: below it, packing takes longer than what it saves
_LIST_BEGINS: Final = b"["  # which nothing packed does
_DEPTH: Final = 16 * MOST
_REACH: Final = 4  # times as many items as asked for are looked at where a cap leaves some out

# One statement sees one moment: the head and the list belong to the same run.
_LIST: Final = """
SELECT h.*, r.*
  FROM (SELECT m.model_run_id, m.algorithm, m.published_at, m.data_to, l.made_at AS live_at,
               EXISTS (SELECT FROM users WHERE user_id = $1)
               OR EXISTS (SELECT FROM user_counts_day WHERE user_id = $1)
               OR EXISTS (SELECT FROM user_item_affinity WHERE user_id = $1) AS known
          FROM (SELECT 1) AS always
          LEFT JOIN published_run AS p ON true
          LEFT JOIN model_runs AS m ON m.model_run_id = coalesce($6, p.model_run_id)
          LEFT JOIN live_recommendations AS l
            ON l.user_id = $1 AND l.model_run_id = m.model_run_id AND $6::bigint IS NULL) AS h
 CROSS JOIN (SELECT array_agg(f.item_id ORDER BY f.rank) AS item_ids,
                    array_agg(f.score ORDER BY f.rank) AS scores,
                    array_agg(f.source ORDER BY f.rank) AS sources,
                    array_agg(f.reason ORDER BY f.rank) AS reasons
               FROM recommendations_for($1, $2, $3, $4, $5, $6) AS f) AS r
"""


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


class Page(NamedTuple):
    """A page of a list, as the answer shows it, and the cursor of the next one, if there is one."""

    shown: Sequence[Entry]
    recommendations: list[dict[str, Any]]
    next: str | None


class Told(NamedTuple):
    """The answer to a request for a list, and the entries in it."""

    body: dict[str, Any]
    shown: Sequence[Entry]


async def recommendations(reader: Reader, cards: Cards, ask: Ask) -> Told:
    """Return the answer to ``GET /recommend/{user}``.

    Raises:
        ProblemError: PostgreSQL is away.
    """
    head, entries = await _list(reader, cards, ask)
    page = paged(entries, ask, head["model_run_id"])
    live_at = head["live_at"]
    body = {
        "user_id": ask.user_id,
        "known": head["known"],
        "model_run_id": head["model_run_id"],
        "algorithm": head["algorithm"],
        "published_at": head["published_at"],
        "data_to": head["data_to"],
        "made_by": None if head["model_run_id"] is None else "live" if live_at else "run",
        "made_at": live_at or head["published_at"],
        "variant": ask.variant,
        "recommendations": page.recommendations,
        "next": page.next,
    }
    return Told(body, page.shown)


async def _list(reader: Reader, cards: Cards, ask: Ask) -> tuple[asyncpg.Record, list[Entry]]:
    """Return the head of a list, and as much of it as the page takes, or all of it."""
    wanted = len(ask.shown) + ask.offset + ask.n + 1  # one more tells whether there is more
    size = wanted * (_REACH if ask.per_artist or ask.per_genre or ask.without else 1)
    while True:
        (row,) = await reader.rows(
            _LIST, ask.user_id, size, ask.genre, list(ask.exclude), not ask.exclude_known, ask.run
        )
        entries = await entries_of(cards, row)
        left = allowed(entries, ask)
        if len(entries) < size or size >= _DEPTH or len(left) > ask.offset + ask.n:
            return row, left
        size = min(2 * size, _DEPTH)


def allowed(entries: Sequence[Entry], ask: Ask) -> list[Entry]:
    """Return what may be shown of a list, without what the pages before showed."""
    kept = [one for one in entries if one.source not in ask.without] if ask.without else entries
    before = set(ask.shown)
    return [one for one in capped(kept, ask.per_artist, ask.per_genre) if one.item_id not in before]


def paged(left: Sequence[Entry], ask: Ask, run: int | None) -> Page:
    """Return the page that is asked for of what is left of a list."""
    ends = ask.offset + ask.n
    page = left[ask.offset : ends]
    before = [*ask.shown, *(one.item_id for one in left[:ends])]
    more = len(left) > ends and len(before) < MOST
    first = len(ask.shown) + ask.offset + 1
    return Page(page, listed(page, first, run), to_cursor(before) if more else None)


def to_cursor(shown: Sequence[str]) -> str:
    """Return what the next page is asked for by."""
    listed = orjson.dumps(list(shown))
    if len(listed) >= _WORTH_PACKING:
        listed = zlib.compress(listed)
    return base64.urlsafe_b64encode(listed).decode().rstrip("=")


def of_cursor(cursor: str) -> list[str]:
    """Return the items that the pages before a cursor showed.

    Raises:
        ProblemError: no answer gave it.
    """
    try:
        shown = orjson.loads(_unpacked(base64.b64decode(_padded(cursor), b"-_", validate=True)))
    except (ValueError, zlib.error):
        shown = None
    told = isinstance(shown, list) and len(shown) <= MOST
    if not told or not all(isinstance(one, str) for one in shown):
        raise bad_request("cursor", "is not the `next` of an answer")
    return list(shown)


def _padded(cursor: str) -> str:
    return cursor + "=" * (-len(cursor) % 4)


def _unpacked(packed: bytes) -> bytes:
    if packed.startswith(_LIST_BEGINS):
        return packed
    unpacking = zlib.decompressobj()
    listed = unpacking.decompress(packed, _CURSOR_BYTES)
    if not unpacking.eof:
        raise ValueError("it is cut off, or too long")
    return listed
