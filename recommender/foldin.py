"""The exact half-step of implicit ALS: listeners' factors from what they have, items held fixed.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008),
equation 4: with Y the item factors, C a diagonal of confidences 1 + alpha * weight and p the
preferences (1 for every item of the listener),

    x = (Y'Y + Y'(C - I)Y + reg I)^-1 Y'C p

which needs Y'Y once for all listeners and a listener's own items only. MLlib scales the
regularisation by the number of items that the listener has (Zhou et al., "Large-Scale Parallel
Collaborative Filtering for the Netflix Prize", AAIM 2008); ``implicit`` does not.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from encore.errors import EncoreError
from recommender.topk import Floats, Indexes


@dataclass(frozen=True)
class HalfStep:
    """What solving for a listener needs of a model: item factors (items, rank) and Y'Y.

    Items that were not trained may have factors too (see :mod:`recommender.content`): they count
    where a listener has them, and not in Y'Y.
    """

    factors: Floats
    gram: NDArray[np.float64]
    alpha: float
    regularization: float
    scaled: bool

    @classmethod
    def of(
        cls,
        factors: Floats,
        *,
        alpha: float,
        regularization: float,
        scaled: bool,
        trained: NDArray[np.bool_] | None = None,
    ) -> "HalfStep":
        """Take a model's item factors and what it was fitted with; ``scaled`` as by MLlib.

        ``trained`` tells which items were in the fit, all if it is not given.

        Raises:
            EncoreError: a factor is not a finite number.
        """
        if not np.isfinite(factors).all():
            raise EncoreError("item factors are not finite numbers: the model did not converge")
        wide = (factors if trained is None else factors[trained]).astype(np.float64)
        return cls(factors, wide.T @ wide, alpha, regularization, scaled)

    def solve(self, weights: sp.csr_matrix) -> Floats:
        """Return the factors (listeners, rank) of listeners given by weights (listeners, items).

        Weights are above zero. Who has nothing gets zeros.

        Raises:
            EncoreError: a weight is not a finite number.
        """
        result = np.zeros((weights.shape[0], self.factors.shape[1]), np.float32)
        for row, solved in self._solved(weights):
            result[row] = solved.factors
        return result

    def fold_in(self, weights: sp.csr_matrix) -> "FoldedIn":
        """Solve as :meth:`solve` does, and keep what saying why takes: some KB a listener."""
        return FoldedIn(self, weights.shape[0], dict(self._solved(weights)))

    def _solved(self, weights: sp.csr_matrix) -> Iterator[tuple[int, "_Solved"]]:
        """Yield row and solution of each listener who has something."""
        ends = weights.indptr.tolist()
        extra = self.alpha * weights.data.astype(np.float64)
        confidences = 1.0 + extra
        for row, (start, end) in enumerate(itertools.pairwise(ends)):
            if start == end:
                continue
            items = weights.indices[start:end]
            mine = self.factors.take(items, axis=0).astype(np.float64)
            mine_confidences = confidences[start:end]
            triangle, factors, problem = lapack.dposv(
                self._left(mine, extra[start:end]), mine_confidences @ mine, overwrite_a=1
            )
            if problem or not math.isfinite(factors.sum()):
                raise EncoreError(
                    "a listener's factors could not be solved: a weight is no finite number, or "
                    "ALS_REGULARIZATION is zero"
                )
            yield row, _Solved(items, mine, mine_confidences, triangle, factors)

    def _left(
        self, mine: NDArray[np.float64], confidences: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        left = self.gram + mine.T @ (confidences[:, None] * mine)
        diagonal = left.reshape(-1)[:: len(left) + 1]
        diagonal += self.regularization * (len(mine) if self.scaled else 1)
        return np.asarray(left)


class _Solved(NamedTuple):
    """A listener's items, their factors and 1 + alpha * weight; Cholesky's triangle of the left
    side; the listener's factors.
    """

    items: NDArray[np.int32]
    mine: NDArray[np.float64]
    confidences: NDArray[np.float64]
    triangle: NDArray[np.float64]
    factors: NDArray[np.float64]


@dataclass(frozen=True)
class FoldedIn:
    """Listeners solved by a half-step, by row: their factors, and what their items add to it.

    A predicted preference is a sum over the listener's items (Hu, Koren and Volinsky, section 5):
    y'x = sum over j of y' W y_j c_j with W = (Y'CY + reg I)^-1.
    """

    half_step: HalfStep
    count: int
    solved: Mapping[int, _Solved]

    @cached_property
    def factors(self) -> Floats:
        """Return the factors (listeners, rank); who has nothing has zeros."""
        result = np.zeros((self.count, self.half_step.factors.shape[1]), np.float32)
        for row, one in self.solved.items():
            result[row] = one.factors
        return result

    def contributors(self, recommended: Indexes) -> Indexes:
        """Return for each recommended item (listeners, k) the item that speaks most for it.

        It has the greatest summand; -1 for -1, and for listeners who have nothing.
        """
        result = np.full(recommended.shape, -1, np.int64)
        for row, one in self.solved.items():
            wanted = recommended[row]
            best = one.items[self._shares(one, np.maximum(wanted, 0)).argmax(axis=1)]
            result[row] = np.where(wanted >= 0, best, -1)
        return result

    def shares(self, row: int, item: int) -> tuple[Indexes, NDArray[np.float64]]:
        """Return one listener's items, and what each adds to the predicted preference of an item.

        The sum of what they add is the prediction.
        """
        if row not in self.solved:
            return np.empty(0, np.int64), np.empty(0)
        one = self.solved[row]
        return one.items.astype(np.int64), self._shares(one, np.array([item]))[0]

    def _shares(self, one: _Solved, wanted: Indexes) -> NDArray[np.float64]:
        """Return what each of a listener's items adds to each wanted one (wanted, items)."""
        # The inverse from the triangle takes less than solving with it for each item.
        inverse, _ = lapack.dpotri(one.triangle)
        weighted = blas.dsymm(1.0, inverse, (one.mine * one.confidences[:, None]).T)
        return np.asarray(self.half_step.factors.take(wanted, axis=0) @ weighted)
