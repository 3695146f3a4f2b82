"""A model with everything that making lists needs, wherever they are made.

The training makes everyone's list with it, ``encore live`` that of who just listened. A listener's
factors are always solved from the item factors and what they have (see :mod:`recommender.foldin`),
so both give the same list for the same data.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recommender.blend import Candidates, Signals, candidates
from recommender.catalogue import Catalogue
from recommender.foldin import FoldedIn, HalfStep
from recommender.rules import Rules, capped, closed_up, diversified
from recommender.topk import BLOCK_BYTES, Floats, Indexes, mask, top_k, unit_rows

PERSONAL, EXPLORE = "personal", "explore"
HARDLY_HEARD = 5  # listeners below which an item is new enough to explore
_NONE = -1


class Lists(NamedTuple):
    """Items (listeners, n), best first, -1 where a list ends; their scores, and for each the item
    of the listener that speaks most for it. ``explored`` are there to find out who likes them.
    """

    items: Indexes
    scores: Floats
    because: Indexes
    explored: NDArray[np.bool_]


@dataclass(frozen=True)
class Bundle:
    """A model of one run.

    ``trained`` tells which items the model has seen, ``listeners`` how many each had. ``blend``
    has a weight for each feature that counts; it is empty where ALS alone orders a list.
    ``as_of_s`` is the newest event that it knows, in seconds since 1970.
    """

    catalogue: Catalogue
    half_step: HalfStep
    trained: NDArray[np.bool_]
    listeners: Indexes
    signals: Signals
    blend: Mapping[str, float] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    model_run_id: int = 0
    as_of_s: float = 0.0

    @property
    def block_rows(self) -> int:
        """Return how many listeners may be scored at once for ``BLOCK_BYTES``."""
        return max(1, BLOCK_BYTES // (4 * max(len(self.trained), 1)))

    def scores(self, weights: sp.csr_matrix, known: Sequence[Indexes]) -> tuple[FoldedIn, Floats]:
        """Return listeners folded in, and what they would prefer: minus infinity for the known."""
        folded = self.half_step.fold_in(weights)
        scores: Floats = folded.factors @ self.half_step.factors.T
        scores[:, self._untrained] = -np.inf
        scores[~folded.factors.any(axis=1)] = -np.inf  # nothing is known of them
        mask(scores, known)
        return folded, scores

    def candidates(self, weights: sp.csr_matrix, als: Floats) -> Candidates:
        """Return what the blend would put in order."""
        return candidates(self.signals, self.signals.names, als, weights)

    def lists(
        self, user_ids: Sequence[str], weights: sp.csr_matrix, known: Sequence[Indexes], n: int
    ) -> Lists:
        """Return the lists of listeners given by what they have and know, at once in memory."""
        folded, als = self.scores(weights, known)
        items, scores = self._ranked(weights, als, n * self.rules.reaches)
        items, scores = self._ruled(items, scores, n)
        items, scores, explored = self._explored(
            user_ids, folded.factors, known, (items, scores), n
        )
        return Lists(items, scores, folded.contributors(items), explored)

    def _ranked(self, weights: sp.csr_matrix, als: Floats, k: int) -> tuple[Indexes, Floats]:
        if self.blend:
            names = list(self.blend)
            found = candidates(self.signals, names, als, weights)
            return found.ranked(np.array([self.blend[one] for one in names], np.float32), k)
        items, scores = top_k(als, k)
        return np.where(np.isfinite(scores), items, _NONE), scores

    def _ruled(self, items: Indexes, scores: Floats, n: int) -> tuple[Indexes, Floats]:
        for most, groups in (
            (self.rules.per_artist, self.catalogue.artists),
            (self.rules.per_genre, self.catalogue.genres),
        ):
            if most:
                items, scores = closed_up(items, scores, capped(items, groups, most))
        if self.rules.diversity:
            return diversified(items, scores, self._unit, n, self.rules.diversity)
        return items[:, :n], scores[:, :n]

    def _explored(
        self,
        user_ids: Sequence[str],
        factors: Floats,
        known: Sequence[Indexes],
        ranked: tuple[Indexes, Floats],
        n: int,
    ) -> tuple[Indexes, Floats, NDArray[np.bool_]]:
        """Put hardly heard items into the slots of exploration: likely ones, drawn by lot.

        Drawing the greatest of score plus Gumbel noise draws by the softmax of the scores (Yellott,
        Journal of Mathematical Psychology 15, 1977). The same run gives a listener the same draw.
        """
        items, scores = ranked
        slots = [one for one in self.rules.slots(n) if one <= items.shape[1]]
        explored = np.zeros(items.shape, np.bool_)
        if not slots or not len(self._new):
            return items, scores, explored
        chances = factors @ self.half_step.factors[self._new].T
        chances /= np.maximum(chances.std(axis=1, keepdims=True), 1e-9)
        for row, user_id in enumerate(user_ids):
            draws = np.random.default_rng([self.model_run_id, zlib.crc32(user_id.encode())])
            chances[row] += draws.gumbel(size=len(self._new))
        chances[np.isin(items, _NONE).all(axis=1)] = -np.inf
        mask(chances, [self._places(one) for one in known])
        mask(chances, [self._places(one) for one in items])
        drawn, values = top_k(chances, len(slots))
        for number, slot in enumerate(slots[: drawn.shape[1]]):
            lucky = np.isfinite(values[:, number])
            # It takes the place and the score of the item that it moves down.
            score = scores[:, min(slot, scores.shape[1] - 1)]
            for matrix, value in (
                (items, self._new[drawn[:, number]]),
                (scores, np.where(np.isfinite(score), score, _lowest(scores))),
                (explored, lucky),
            ):
                matrix[lucky] = np.insert(matrix[lucky], slot, value[lucky], axis=1)[:, :-1]
        return items, scores, explored

    @cached_property
    def _unit(self) -> Floats:
        return unit_rows(self.half_step.factors)

    @cached_property
    def _new(self) -> Indexes:
        return np.flatnonzero(self.listeners < HARDLY_HEARD).astype(np.int64)

    @cached_property
    def _untrained(self) -> Indexes:
        return np.flatnonzero(~self.trained).astype(np.int64)

    def _places(self, items: Indexes) -> Indexes:
        """Return the places of those items that are new, among the new."""
        found = self._place[items]
        new: Indexes = found[found != _NONE]
        return new

    @cached_property
    def _place(self) -> Indexes:
        # One more at the end, for what is no item: -1.
        place = np.full(len(self.listeners) + 1, _NONE, np.int64)
        place[self._new] = np.arange(len(self._new))
        return place


def _lowest(scores: Floats) -> Floats:
    return np.asarray(np.where(np.isfinite(scores), scores, np.inf).min(axis=1), np.float32)
