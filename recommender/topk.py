"""Best k items of each user, from a matrix of scores held one block at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indexes = NDArray[np.int64]

BLOCK_BYTES = 64 * 1024 * 1024


class Scorer(Protocol):
    """A model that can score every item for users given by their factors."""

    @property
    def items(self) -> int:
        """Number of items that are scored."""

    def scores(self, users: Floats) -> Floats:
        """Return a new matrix (users, items); minus infinity is never recommended."""


@dataclass(frozen=True, slots=True)
class Als:
    """Score by the product of user and item factors.

    ``factors`` is (items, rank). Items that the model has not seen are False in ``trained``.
    """

    factors: Floats
    trained: NDArray[np.bool_]

    @property
    def items(self) -> int:
        """Number of items that are scored."""
        return len(self.factors)

    def scores(self, users: Floats) -> Floats:
        """Return the predicted preference of each user for each item."""
        scores: Floats = users @ self.factors.T
        scores[:, ~self.trained] = -np.inf
        return scores


@dataclass(frozen=True, slots=True)
class Popularity:
    """Score every item by how many users had it, the same for everyone. ``counts`` is (items,)."""

    counts: NDArray[np.int64]

    @property
    def items(self) -> int:
        """Number of items that are scored."""
        return len(self.counts)

    def scores(self, users: Floats) -> Floats:
        """Return the counts once for each user; items that nobody had are never recommended."""
        row = np.where(self.counts > 0, self.counts, -np.inf).astype(np.float32)
        return np.tile(row, (len(users), 1))


def recommend(
    scorer: Scorer, users: Floats, left_out: Sequence[Indexes], k: int
) -> Iterator[tuple[Indexes, Floats]]:
    """Yield items and scores of the best k for each user, best first, without those left out.

    A list is shorter where fewer items remain. Memory is bounded by ``BLOCK_BYTES`` of scores.
    """
    rows = max(1, BLOCK_BYTES // (4 * max(scorer.items, 1)))
    for start in range(0, len(users), rows):
        scores = scorer.scores(users[start : start + rows])
        mask(scores, left_out[start : start + rows])
        items, best = top_k(scores, k)
        for row, column_scores in zip(items, best, strict=True):
            kept = np.isfinite(column_scores)
            yield row[kept], column_scores[kept]


def mask(scores: Floats, left_out: Sequence[Indexes]) -> None:
    """Set the scores of the items that each row leaves out to minus infinity, in place."""
    lengths = [len(one) for one in left_out]
    if sum(lengths):
        rows = np.repeat(np.arange(len(left_out)), lengths)
        scores[rows, np.concatenate(left_out)] = -np.inf


def top_k(scores: Floats, k: int) -> tuple[Indexes, Floats]:
    """Return columns and values of the k highest in each row: descending, equals by column."""
    width = min(k, scores.shape[1])
    if width == 0:
        empty = (scores.shape[0], 0)
        return np.empty(empty, np.int64), np.empty(empty, np.float32)
    columns = np.argpartition(-scores, width - 1, axis=1)[:, :width].astype(np.int64)
    _settle_ties(scores, columns)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.lexsort((columns, -values), axis=1)
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def _settle_ties(scores: Floats, columns: Indexes) -> None:
    # The partition takes any of the columns that are equal at its edge: take the lowest ones.
    chosen = np.take_along_axis(scores, columns, axis=1)
    edge = chosen.min(axis=1, keepdims=True)
    undecided = (scores == edge).sum(axis=1) > (chosen == edge).sum(axis=1)
    for row in np.flatnonzero(undecided & np.isfinite(edge[:, 0])):
        above = np.flatnonzero(scores[row] > edge[row])
        equal = np.flatnonzero(scores[row] == edge[row])
        columns[row] = np.concatenate([above, equal[: columns.shape[1] - len(above)]])
