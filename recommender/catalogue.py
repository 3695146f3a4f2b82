"""The items that can be recommended, by number, with what is said of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import psycopg2.extensions
import pyarrow as pa
from numpy.typing import NDArray

from recommender.attributes import Attribute, words
from recommender.reasons import reasons
from recommender.topk import Floats

_RECENT_DAYS = 90.0  # a release counts half as new after this

# An item that was heard but never announced goes by its id.
_ITEMS = """
SELECT k.item_id, coalesce(i.title, k.item_id), i.artist_id,
       extract(epoch FROM i.released_at)::float8
  FROM (SELECT item_id FROM user_item_affinity UNION SELECT item_id FROM items) AS k
  LEFT JOIN items AS i USING (item_id)
 ORDER BY k.item_id COLLATE "C"
"""
_GENRES = "SELECT item_id, genre FROM item_genres ORDER BY position"


@dataclass(frozen=True)
class Catalogue:
    """Position in ``ids`` is an item's number.

    ``artists`` and ``genres`` (the most fitting one) are numbers, -1 where nobody said;
    ``released_s`` is in seconds since 1970, NaN where nobody said.
    """

    ids: Sequence[str]
    titles: Sequence[str]
    artists: NDArray[np.int32]
    genres: NDArray[np.int32]
    attributes: Sequence[Attribute]
    released_s: NDArray[np.float64]

    @cached_property
    def names(self) -> pa.Array:
        """Return the ids as Arrow has them."""
        return pa.array(self.ids, pa.string())

    @cached_property
    def reasons(self) -> pa.Array:
        """Return the items as reasons, see :func:`recommender.reasons.reasons`."""
        return reasons(self.titles)

    @cached_property
    def number(self) -> dict[str, int]:
        """Return the number of each id."""
        return {one: at for at, one in enumerate(self.ids)}

    def recency(self, now_s: float) -> Floats:
        """Return how new each item is: 1 at its release, half after 90 days; 0 if unknown."""
        age_days = np.maximum(now_s - self.released_s, 0.0) / 86_400
        return np.nan_to_num(2.0 ** (-age_days / _RECENT_DAYS)).astype(np.float32)


def read_catalogue(cursor: psycopg2.extensions.cursor, first: Sequence[str] = ()) -> Catalogue:
    """Return all items, announced or heard: those in ``first`` in that order, then by id."""
    cursor.execute(_ITEMS)
    found = {row[0]: row for row in cursor.fetchall()}
    ahead = [found.pop(one, (one, one, None, None)) for one in first]
    rows = [*ahead, *found.values()]
    number = {row[0]: at for at, row in enumerate(rows)}
    genres: list[list[str]] = [[] for _ in rows]
    cursor.execute(_GENRES)
    for item, genre in cursor.fetchall():
        if item in number:
            genres[number[item]].append(genre)
    return Catalogue(
        ids=[row[0] for row in rows],
        titles=[row[1] or row[0] for row in rows],
        artists=_numbered([row[2] for row in rows]),
        genres=_numbered([one[0] if one else None for one in genres]),
        attributes=(
            Attribute.of("genre", genres),
            Attribute.of("artist", [[row[2]] if row[2] else [] for row in rows]),
            Attribute.of("words", [words(row[1]) if row[1] else [] for row in rows]),
        ),
        released_s=np.array([np.nan if row[3] is None else row[3] for row in rows], np.float64),
    )


def _numbered(names: Sequence[str | None]) -> NDArray[np.int32]:
    number = {one: at for at, one in enumerate(sorted({one for one in names if one}))}
    return np.array([number[one] if one else -1 for one in names], np.int32)
