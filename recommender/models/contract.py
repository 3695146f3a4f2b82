"""What every model can do, whatever it is made of."""

from typing import Protocol

import numpy as np
import scipy.sparse as sp

from recommender.interactions import Indexes, Interactions
from recommender.topk import Floats, top_k


class Model(Protocol):
    """A model that is fitted once and then asked.

    Scores order items for one listener; across listeners they mean nothing. An item that is
    never to be recommended scores minus infinity.
    """

    @property
    def name(self) -> str:
        """Name the model, as tables and files do."""

    def fit(self, train: Interactions) -> None:
        """Learn from interactions.

        Raises:
            EncoreError: they do not suffice, or what was learned is not finite.
        """

    def scores(self, users: Indexes) -> Floats:
        """Return a new matrix (listeners, items) for rows of the data it was fitted to."""

    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Return scores of listeners it never saw, given by their weights (listeners, items)."""

    def similar(self, item: int, k: int) -> tuple[Indexes, Floats]:
        """Return the k items that are most like one, best first, itself left out, and how much."""


def best(scores: Floats, item: int, k: int) -> tuple[Indexes, Floats]:
    """Return the k best of one row of scores, without the item that was asked about."""
    scores = np.asarray(scores, np.float32).reshape(1, -1).copy()
    scores[0, item] = -np.inf
    items, values = top_k(scores, k)
    there = np.isfinite(values[0])
    return items[0][there], values[0][there]
