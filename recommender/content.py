"""Factors of items that nobody has heard yet, predicted from what is said of them.

Ridge regression (Hoerl and Kennard, Technometrics 12(1), 1970) of the factors of heard items on
their artist, genres and words: F ~ mean + A W, with W = (A'A + lambda I)^-1 A'(F - mean). Gantner
et al., "Learning Attribute-to-Feature Mappings for Cold-Start Recommendations" (ICDM 2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, cg

from recommender.attributes import Attribute
from recommender.topk import Floats, Indexes

LAMBDA = 3.0  # about as much as three items with the same value
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Content:
    """``weights`` (values, rank) of attributes' values, named ``attribute:value``, and the mean."""

    values: Sequence[str]
    weights: Floats
    mean: Floats

    def predict(self, attributes: Sequence[Attribute]) -> Floats:
        """Return the factors (items, rank) of items: zeros where nothing known is said."""
        matrix, named = _beside(attributes)
        number = {value: at for at, value in enumerate(self.values)}
        place = np.array([number.get(value, -1) for value in named], np.int64)
        there = np.flatnonzero(place >= 0)
        known = matrix[:, there]
        factors = self.mean + known @ self.weights[place[there]]
        factors[np.diff(known.indptr) == 0] = 0
        return np.asarray(factors, np.float32)


def learn_content(attributes: Sequence[Attribute], factors: Floats, heard: Indexes) -> Content:
    """Learn from the items that were heard: ``heard`` is how often, (items,), 0 for the others."""
    matrix, named = _beside(attributes)
    some = np.flatnonzero(heard)
    rows, target = matrix[some], factors[some]
    mean = target.mean(axis=0) if len(some) else np.zeros(factors.shape[1], np.float32)
    right = np.asarray(rows.T @ (target - mean), np.float64)
    width = rows.shape[1]
    left = LinearOperator((width, width), lambda w: rows.T @ (rows @ w) + LAMBDA * w)
    weights = np.zeros((width, factors.shape[1]), np.float32)
    for column in range(factors.shape[1]):
        weights[:, column], _ = cg(left, right[:, column], rtol=_TOLERANCE)
    return Content(named, weights, np.asarray(mean, np.float32))


def _beside(attributes: Sequence[Attribute]) -> tuple[sp.csr_matrix, list[str]]:
    named = [f"{one.name}:{value}" for one in attributes for value in one.values]
    return sp.csr_matrix(sp.hstack([one.matrix for one in attributes])), named
