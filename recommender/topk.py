"""The best k of each row of a matrix of scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indexes = NDArray[np.int64]

BLOCK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Als:
    """Item factors (items, rank). Items that the model has not seen are False in ``trained``."""

    factors: Floats
    trained: NDArray[np.bool_]


def mask(scores: Floats, left_out: Sequence[Indexes]) -> None:
    """Set the scores of the items that each row leaves out to minus infinity, in place."""
    lengths = [len(one) for one in left_out]
    if sum(lengths):
        rows = np.repeat(np.arange(len(left_out)), lengths)
        scores[rows, np.concatenate(left_out)] = -np.inf


def unit_rows(factors: Floats) -> Floats:
    """Return the rows scaled to length one; a row of zeros stays."""
    lengths = np.sqrt(np.square(factors).sum(axis=1, keepdims=True))
    lengths[lengths == 0] = 1
    scaled: Floats = factors / lengths
    return scaled


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
