"""Grouping and summing of columns: rows sorted by key once, each aggregate one pass of NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MOST_CELLS = 2**62


@dataclass(frozen=True)
class Coded:
    """Texts as numbers: ``codes`` index into ``names``, which are sorted; -1 stands for NULL."""

    codes: Integers
    names: pa.Array

    @classmethod
    def of(cls, texts: pa.ChunkedArray) -> "Coded":
        """Number texts in the order of their bytes, which is that of PostgreSQL's C collation."""
        coded = pc.dictionary_encode(texts).combine_chunks()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.chunk(0) if coded.num_chunks else pa.array([], texts.type)
        order = pc.sort_indices(coded.dictionary)
        rank = np.empty(len(order) + 1, np.int64)
        rank[order.to_numpy()] = np.arange(len(order))
        rank[-1] = -1
        codes = pc.fill_null(coded.indices, -1).to_numpy()
        return cls(rank[codes], coded.dictionary.take(order))

    @property
    def known(self) -> Mask:
        """Return which rows are not NULL."""
        return np.asarray(self.codes >= 0)

    def among(self, *texts: str) -> Mask:
        """Return which rows hold one of the texts; for columns without NULL."""
        wanted = pc.is_in(self.names, pa.array(texts)).to_numpy(zero_copy_only=False)
        return np.asarray(wanted[self.codes]) if len(wanted) else np.zeros(0, bool)

    def texts(self, codes: Integers) -> pa.Array:
        """Return the texts of codes, none of which is -1."""
        return self.names.take(pa.array(codes))

    def at(self, rows: Mask) -> "Coded":
        """Keep some rows."""
        return Coded(self.codes[rows], self.names)


class Groups:
    """Rows grouped by one or more keys, groups in the order of the keys.

    All columns given to the aggregates are as long as the keys; all results are as long as there
    are groups.
    """

    def __init__(self, *keys: Integers) -> None:
        """Group by columns of integers of the same length."""
        self._keys = keys
        mark = _combined(keys)
        self._order = np.argsort(mark, kind="stable")
        ordered = mark[self._order]
        new = np.ones(len(ordered), bool)
        new[1:] = ordered[1:] != ordered[:-1]
        self._starts = np.flatnonzero(new)

    def __len__(self) -> int:
        """Return how many groups there are."""
        return len(self._starts)

    @property
    def bounds(self) -> Integers:
        """Return where each group begins among the rows in order, and where the last ends."""
        return np.append(self._starts, len(self._order))

    def key(self, number: int = 0) -> Integers:
        """Return a key of each group."""
        return self._keys[number][self._order[self._starts]]

    @cached_property
    def sizes(self) -> Integers:
        """Return how many rows each group has."""
        return np.diff(self._starts, append=len(self._order)).astype(np.int64)

    def sum(self, values: Integers) -> Integers:
        """Add up a column."""
        return self._reduce(np.add, values)

    def least(self, values: Integers) -> Integers:
        """Return the smallest of a column."""
        return self._reduce(np.minimum, values)

    def greatest(self, values: Integers) -> Integers:
        """Return the greatest of a column."""
        return self._reduce(np.maximum, values)

    def decayed_sum(self, signal: Floats, at_us: Integers, half_life_us: float) -> Floats:
        """Add up a signal as of the newest moment of its group.

        Every signal counts ``2^(-(newest - at) / half_life)`` (forward decay, after Cormode,
        Shkapenyuk, Srivastava and Xu, ICDE 2009). Past 1,000 half-lives it counts 2^-1000.
        """
        newest = np.repeat(self.greatest(at_us), self.sizes)
        age = (newest - at_us[self._order]) / half_life_us
        weighed = signal[self._order] * np.exp2(-np.minimum(age, 1000.0))
        return np.asarray(np.add.reduceat(weighed, self._starts)) if len(self) else weighed

    def _reduce(self, how: np.ufunc, values: Integers) -> Integers:
        ordered = values[self._order]
        return np.asarray(how.reduceat(ordered, self._starts)) if len(self) else ordered


def text_lists(texts: pa.Array, bounds: Integers) -> pa.Array:
    """Return each stretch of texts between two bounds as a list."""
    return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), texts)


def _combined(keys: Sequence[Integers]) -> Integers:
    """Return one number for each row that orders and tells apart as the keys together do."""
    mark = keys[0]
    for key in keys[1:]:
        mark = _two(mark, key)
    return mark


def _two(first: Integers, second: Integers) -> Integers:
    if not len(first):
        return first
    if _span(first) * _span(second) > _MOST_CELLS:
        # Too wide to multiply: number what there is, which is at most a number for each row.
        first, second = (np.unique(one, return_inverse=True)[1] for one in (first, second))
    return np.asarray((first - first.min()) * _span(second) + (second - second.min()))


def _span(column: Integers) -> int:
    return int(column.max()) - int(column.min()) + 1
