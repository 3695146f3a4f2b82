"""Entries of a list on their way to a page: named, capped, without what was shown, cut."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from recommender.bundle import EXPLORE, PERSONAL
from serving.cards import Card, Cards

_OF_A_MODEL: Final = frozenset({PERSONAL, EXPLORE})


class Entry(NamedTuple):
    """An item in a list."""

    item_id: str
    score: float
    source: str
    reason: str
    card: Card


async def entries_of(cards: Cards, row: asyncpg.Record) -> list[Entry]:
    """Return the entries of a row that has their columns as arrays, NULL where there are none.

    Raises:
        ProblemError: PostgreSQL is away.
    """
    ids = row["item_ids"] or ()
    columns = (row["scores"] or (), row["sources"] or (), row["reasons"] or ())
    return [Entry(*one) for one in zip(ids, *columns, await cards.of(ids), strict=True)]


def capped(entries: Sequence[Entry], per_artist: int, per_genre: int) -> list[Entry]:
    """Keep the first of each artist and main genre; of neither there may be any number."""
    if not per_artist and not per_genre:
        return list(entries)
    artists: Counter[str] = Counter()
    genres: Counter[str] = Counter()
    kept = []
    for one in entries:
        artist, genre = one.card.artist_id, one.card.genre
        if per_artist and artist and artists[artist] >= per_artist:
            continue
        if per_genre and genre and genres[genre] >= per_genre:
            continue
        artists[artist or ""] += 1
        genres[genre or ""] += 1
        kept.append(one)
    return kept


def listed(entries: Sequence[Entry], first: int, run: int | None) -> list[dict[str, Any]]:
    """Return entries as an answer shows them, ``first`` being the rank of the first."""
    return [
        {
            "rank": rank,
            "score": one.score,
            "source": one.source,
            "reason": one.reason,
            "model_run_id": run if one.source in _OF_A_MODEL else None,
            "item": one.card.body,
        }
        for rank, one in enumerate(entries, first)
    ]
