"""What items have in common by what is said of them: genres, artists, words of the title.

An *attribute* is a matrix (items, values) whose rows sum to 1 (or to 0 where nothing is said). A
listener's affinity to a value is their weights' share in the items that have it, and to an item
the mean of its values', each as rare as it is: inverse document frequency as in Spärck Jones, "A
statistical interpretation of term specificity" (Journal of Documentation 28, 1972).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recommender.topk import Floats, Indexes

_WORD = re.compile(r"\w{2,}")


@dataclass(frozen=True)
class Attribute:
    """One thing said of items. ``values`` names the columns of ``matrix`` (items, values)."""

    name: str
    values: Sequence[str]
    matrix: sp.csr_matrix

    @classmethod
    def of(cls, name: str, said: Sequence[Iterable[str]]) -> "Attribute":
        """Make an attribute of what is said of each item; repeats count once."""
        sets = [sorted(set(one)) for one in said]
        values = sorted({value for one in sets for value in one})
        column = {value: at for at, value in enumerate(values)}
        indptr = np.cumsum([0, *map(len, sets)])
        indices = np.array([column[value] for one in sets for value in one], np.int32)
        return cls.normalised(
            name,
            values,
            sp.csr_matrix(
                (np.ones(len(indices), np.float32), indices, indptr), (len(sets), len(values))
            ),
        )

    @classmethod
    def normalised(cls, name: str, values: Sequence[str], matrix: sp.csr_matrix) -> "Attribute":
        """Make an attribute of a matrix of ones, its rows brought to a sum of 1."""
        shares = 1 / np.maximum(np.diff(matrix.indptr), 1)
        scaled = sp.csr_matrix(sp.diags_array(shares.astype(np.float32)) @ matrix)
        return cls(name, values, scaled)

    def affinity(self, weights: sp.csr_matrix, items: Indexes) -> Floats:
        """Return the affinity of listeners (listeners, all items) to their items (listeners, k).

        -1 among the items stands for none.
        """
        profile = np.asarray((weights @ self.matrix).toarray(), np.float32)
        profile /= np.maximum(profile.sum(axis=1, keepdims=True), 1e-12)
        profile = np.hstack([profile * self._rarity, np.zeros((len(profile), 1), np.float32)])
        rows = np.arange(len(profile))[:, None]
        result: Floats = np.zeros(items.shape, np.float32)
        for column, shares in zip(*self._padded, strict=True):
            result += profile[rows, column[items]] * shares[items]
        return np.asarray(result)

    @property
    def weighted(self) -> sp.csr_matrix:
        """Return the matrix with each value as rare as it is."""
        return sp.csr_matrix(self.matrix @ sp.diags_array(self._rarity))

    @cached_property
    def _rarity(self) -> Floats:
        items = np.bincount(self.matrix.indices, minlength=self.matrix.shape[1])
        return np.asarray(np.log1p(self.matrix.shape[0] / np.maximum(items, 1)), np.float32)

    @cached_property
    def _padded(self) -> tuple[list[NDArray[np.int64]], list[Floats]]:
        """Return the first, second, … value and share of every item; one more row is for -1."""
        lengths = np.diff(self.matrix.indptr)
        width = int(lengths.max(initial=0))
        nothing = self.matrix.shape[1]
        columns, shares = [], []
        for place in range(width):
            column = np.full(len(lengths) + 1, nothing, np.int64)
            share = np.zeros(len(lengths) + 1, np.float32)
            there = np.flatnonzero(lengths > place)
            column[there] = self.matrix.indices[self.matrix.indptr[there] + place]
            share[there] = self.matrix.data[self.matrix.indptr[there] + place]
            columns.append(column)
            shares.append(share)
        return columns, shares


def words(text: str) -> list[str]:
    """Return the words of a title in lower case."""
    return _WORD.findall(text.lower())
