"""The best k of each row of a matrix of scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indexes = NDArray[np.int64]

BLOCK_BYTES = 8 * 1024 * 1024  # more does not stay in the caches
_GROUPS = 4  # times as many as are wanted: the more, the nearer the bound is to the least of them
_MOST_LIKELY = 8  # times as many as are wanted; where more are equal, the slower way is taken


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
    bound = _bound(scores, width)
    likely = scores >= bound[:, None]
    counts = np.count_nonzero(likely, axis=1)
    few = np.isfinite(bound) & (counts <= _MOST_LIKELY * width)
    if not few.any():
        return _slowly(scores, bound, width)
    likely[~few] = False
    rows, columns = np.divmod(np.flatnonzero(likely), scores.shape[1])
    counts[~few] = 0
    # Side by side, so that each row is put in order by itself; what fills up comes last.
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    narrow = (len(scores), int(counts.max()))
    values, at = np.full(narrow, -np.inf, scores.dtype), np.zeros(narrow, np.int64)
    values[rows, place], at[rows, place] = scores[rows, columns], columns
    order = np.argsort(-values, axis=1, kind="stable")[:, :width]
    found = np.take_along_axis(at, order, axis=1), np.take_along_axis(values, order, axis=1)
    if not few.all():
        found[0][~few], found[1][~few] = _slowly(scores[~few], bound[~few], width)
    return found


def _bound(scores: Floats, width: int) -> Floats:
    """Return for each row a value that at least ``width`` of its columns reach, and not many.

    It is that of the best in one of so many groups of columns: finding it reads the row once, which
    is several times as fast as putting its columns into order, even by halves. A group holds every
    so-manieth column, by a prime, so that what is alike at equal distances lies in all groups.
    """
    groups = _prime_from(_GROUPS * width)
    size = scores.shape[1] // groups
    if size < 2:
        return np.full(len(scores), -np.inf, np.float32)
    best = scores[:, : size * groups].reshape(len(scores), size, groups).max(axis=1)
    best.partition(groups - width, axis=1)
    bound: Floats = best[:, groups - width]
    return bound


@cache
def _prime_from(least: int) -> int:
    """Return the first prime that is not below a number."""
    number = max(least, 2)
    while any(number % one == 0 for one in range(2, math.isqrt(number) + 1)):
        number += 1
    return number


def _slowly(scores: Floats, bound: Floats, width: int) -> tuple[Indexes, Floats]:
    """Return what :func:`top_k` does where too many reach the bound: they are equal as a rule."""
    if not np.isfinite(bound).all():
        return _partitioned(scores, width)
    columns = np.empty((len(scores), width), np.int64)
    for row, (mine, least) in enumerate(zip(scores, bound, strict=True)):
        found = np.flatnonzero(mine > least)
        if len(found) < width:  # behind the better ones, so that equals stay in order of columns
            equal = np.flatnonzero(mine == least)
            found = np.concatenate([found, equal[: width - len(found)]])
        columns[row] = found[np.argsort(-mine[found], kind="stable")[:width]]
    return columns, np.take_along_axis(scores, columns, axis=1)


def _partitioned(scores: Floats, width: int) -> tuple[Indexes, Floats]:
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
