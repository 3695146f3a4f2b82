"""What a list must be beside good: not all of one artist or genre, not all alike, not all known.

They work on more items than a list needs, best first, of many listeners at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encore.settings import Settings
from recommender.topk import Floats, Indexes

_NONE = -1


@dataclass(frozen=True)
class Rules:
    """Caps (0: none) on items of one artist and of one main genre; ``diversity`` (0 to 1) is how
    much likeness to what is above in the list counts against an item; ``exploration`` is the
    share of a list that goes to items hardly anyone has heard.
    """

    per_artist: int = 0
    per_genre: int = 0
    diversity: float = 0.0
    exploration: float = 0.0

    @classmethod
    def of(cls, current: Settings) -> "Rules":
        """Take the rules of the settings."""
        return cls(
            current.recommend_max_per_artist,
            current.recommend_max_per_genre,
            current.recommend_diversity,
            current.recommend_exploration,
        )

    @property
    def reaches(self) -> int:
        """Return how many times as many items as a list holds are looked at to fill it."""
        return 4 if self.per_artist or self.per_genre or self.diversity else 1

    def slots(self, n: int) -> list[int]:
        """Return the positions, from 0, that go to exploration: evenly spread, never the first."""
        count = int(n * self.exploration)
        return [(place + 1) * n // (count + 1) for place in range(count)]


def capped(items: Indexes, groups: NDArray[np.int32], most: int) -> NDArray[np.bool_]:
    """Tell which items (listeners, k), best first, are among the first ``most`` of their group.

    ``groups`` is the group of every item, -1 for none: of none there may be any number.
    """
    group = np.where(items == _NONE, _NONE, groups[np.maximum(items, 0)])
    order = np.argsort(group, axis=1, kind="stable")
    ordered = np.take_along_axis(group, order, axis=1)
    places = np.arange(items.shape[1])
    first = np.ones(ordered.shape, np.bool_)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    start = np.maximum.accumulate(np.where(first, places, 0), axis=1)
    kept = np.empty(items.shape, np.bool_)
    np.put_along_axis(kept, order, (places - start < most) | (ordered == _NONE), axis=1)
    return kept


def closed_up(items: Indexes, scores: Floats, kept: NDArray[np.bool_]) -> tuple[Indexes, Floats]:
    """Take out what is not kept; the rest moves up, in order, and -1 fills the end."""
    order = np.argsort(~kept, axis=1, kind="stable")
    items, scores = (
        np.take_along_axis(np.where(kept, items, _NONE), order, axis=1),
        np.take_along_axis(np.where(kept, scores, -np.inf), order, axis=1),
    )
    return items, scores


def diversified(
    items: Indexes, scores: Floats, unit: Floats, n: int, diversity: float
) -> tuple[Indexes, Floats]:
    """Return the n items, one after the other, that are good and unlike those taken before.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): the next item has the
    greatest (1 - diversity) * score - diversity * (its greatest cosine with one above it), scores
    brought to 0 to 1 within the listener. ``unit`` (items, rank) has rows of length one.
    """
    there = items != _NONE
    low = np.where(there, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(there, scores, -np.inf).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        relevance = np.where(there, (scores - low) / np.maximum(high - low, 1e-9), 0.0)
    vectors = unit[np.maximum(items, 0)]
    likeness = np.zeros(items.shape, np.float32)
    open_ = there.copy()
    rows = np.arange(len(items))
    width = min(n, items.shape[1])
    taken = np.full((len(items), width), 0, np.int64)
    for place in range(width):
        value = (1 - diversity) * relevance - diversity * likeness
        best = np.where(open_, value, -np.inf).argmax(axis=1)
        taken[:, place] = best
        open_[rows, best] = False
        cosine = np.einsum("ukr,ur->uk", vectors, vectors[rows, best])
        likeness = cosine if place == 0 else np.maximum(likeness, cosine)
    lengths = there.sum(axis=1, keepdims=True)
    beyond = np.arange(width)[None, :] >= lengths
    return (
        np.where(beyond, _NONE, np.take_along_axis(items, taken, axis=1)),
        np.where(beyond, -np.inf, np.take_along_axis(scores, taken, axis=1)).astype(np.float32),
    )
