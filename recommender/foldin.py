"""The exact half-step of implicit ALS: listeners' factors from what they have, items held fixed.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008),
equation 4: with Y the item factors, C a diagonal of confidences 1 + alpha * weight and p the
preferences (1 for every item of the listener),

    x = (Y'Y + Y'(C - I)Y + reg I)^-1 Y'C p

which needs Y'Y once for all listeners and a listener's own items only. MLlib scales the
regularisation by the number of items that the listener has (Zhou et al., "Large-Scale Parallel
Collaborative Filtering for the Netflix Prize", AAIM 2008); ``implicit`` does not.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack

from encore.errors import EncoreError
from recommender.topk import Floats


@dataclass(frozen=True)
class HalfStep:
    """What solving for a listener needs of a model: item factors (items, rank) and Y'Y."""

    factors: Floats
    gram: NDArray[np.float64]
    alpha: float
    regularization: float
    scaled: bool

    @classmethod
    def of(
        cls, factors: Floats, *, alpha: float, regularization: float, scaled: bool
    ) -> "HalfStep":
        """Take a model's item factors and what it was fitted with; ``scaled`` as by MLlib.

        Raises:
            EncoreError: a factor is not a finite number.
        """
        if not np.isfinite(factors).all():
            raise EncoreError("item factors are not finite numbers: the model did not converge")
        wide = factors.astype(np.float64)
        return cls(factors, wide.T @ wide, alpha, regularization, scaled)

    def solve(self, weights: sp.csr_matrix) -> Floats:
        """Return the factors (listeners, rank) of listeners given by weights (listeners, items).

        Weights are above zero. Who has nothing gets zeros.

        Raises:
            EncoreError: a weight is not a finite number.
        """
        result = np.zeros((weights.shape[0], self.factors.shape[1]), np.float32)
        for row in range(weights.shape[0]):
            part = slice(weights.indptr[row], weights.indptr[row + 1])
            if part.start < part.stop:
                result[row] = self._one(weights.indices[part], weights.data[part])
        return result

    def _one(self, items: NDArray[np.int32], weights: Floats) -> NDArray[np.float64]:
        mine = self.factors[items].astype(np.float64)
        extra = self.alpha * weights.astype(np.float64)
        left = self.gram + mine.T @ (extra[:, None] * mine)
        left[np.diag_indices_from(left)] += self.regularization * (len(items) if self.scaled else 1)
        _, solution, problem = lapack.dposv(left, mine.T @ (1.0 + extra), overwrite_a=1)
        if problem or not np.isfinite(solution).all():
            raise EncoreError(
                "a listener's factors could not be solved: a weight is no finite number, or "
                "ALS_REGULARIZATION is zero"
            )
        return np.asarray(solution)
