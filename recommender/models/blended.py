"""What ``encore train`` publishes where it proves better than ALS alone: the blend, as a model."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from encore.errors import EncoreError
from recommender.als import AlsParameters
from recommender.attributes import Attribute
from recommender.blend import NEAREST, Candidates, Signals, candidates, learn
from recommender.comparison import hits_of
from recommender.interactions import Indexes, Interactions
from recommender.models.contract import best
from recommender.models.factors import Engine, Factors
from recommender.models.linear import nearest
from recommender.topk import Floats, mask

_VALIDATION = 0.15  # newest share of each listener's items: the weights are learned on them
_MOST = 5_000  # listeners that they are learned on
_BLOCK = 500


class Blended:
    """Candidates of ALS and co-listening, ordered by weights learned on each listener's newest."""

    name = "blend"

    def __init__(self, engine: Engine, parameters: AlsParameters) -> None:
        """Take what factorises."""
        self._engine = engine
        self._parameters = parameters
        self.weights: dict[str, float] = {}

    def fit(self, train: Interactions) -> None:
        """Learn the weights with each listener's newest items unseen, then fit to everything.

        Raises:
            EncoreError: the data have no times, or nobody has three items.
        """
        past, relevant = _divided(train)
        some = np.flatnonzero(np.diff(relevant.indptr)).astype(np.int64)
        some = np.sort(np.random.default_rng(self._parameters.seed).permutation(some)[:_MOST])
        if not len(some):
            raise EncoreError("the blend cannot be learned: no listener has three items")
        self._fit(past)
        names = self._signals.names
        found = Candidates.stacked(
            [
                self._candidates(past.weights[part], past.known[part], names)[0]
                for part in np.split(some, range(_BLOCK, len(some), _BLOCK))
            ]
        )
        weights = learn(found, hits_of(found.items, relevant[some]).found)
        self.weights = {
            name: weight for name, weight in zip(names, weights.tolist(), strict=True) if weight
        }
        self._fit(train)

    def scores(self, users: Indexes) -> Floats:
        """Return scores of each listener's candidates; below them all else, by ALS."""
        return self._scores(self._train.weights[users], self._train.known[users])

    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Return scores of each listener's candidates; below them all else, by ALS."""
        return self._scores(weights, weights)

    def similar(self, item: int, k: int) -> tuple[Indexes, Floats]:
        """Return the items at the smallest angle of who listens to them."""
        row = self._signals.neighbours[[item]].toarray()
        return best(np.where(row > 0, row, -np.inf), item, k)

    def _fit(self, train: Interactions) -> None:
        self._train = train
        self._als = Factors(self._engine, self._parameters, fold=True)
        self._als.fit(train)
        recent = np.asarray(train.weights.sum(axis=0), np.float32).ravel()
        self._signals = Signals(
            nearest(train.weights, "cosine", NEAREST).T.tocsr(),
            _attributes(train),
            {"popularity": np.log1p(train.listeners).astype(np.float32), "trend": recent},
        )

    def _candidates(
        self, weights: sp.csr_matrix, known: sp.csr_matrix, names: Sequence[str]
    ) -> tuple[Candidates, Floats]:
        """Return the candidates, and the scores of ALS for all items."""
        als = self._als.fold_in(weights)
        open_ = als.copy()
        mask(open_, np.split(known.indices.astype(np.int64), known.indptr[1:-1]))
        return candidates(self._signals, names, open_, weights), als

    def _scores(self, weights: sp.csr_matrix, known: sp.csr_matrix) -> Floats:
        found, scores = self._candidates(weights, known, list(self.weights))
        values = found.features @ np.array(list(self.weights.values()), np.float32)
        there = found.items >= 0
        lowest = np.where(there, values, np.inf).min(axis=1, initial=0.0, keepdims=True)
        scores += lowest - 1 - scores.max(axis=1, keepdims=True)
        rows, places = np.nonzero(there)
        scores[rows, found.items[rows, places]] = values[rows, places]
        return scores


def _attributes(train: Interactions) -> list[Attribute]:
    if train.genres is None:
        return []
    names = [str(number) for number in range(train.genres.shape[1])]
    return [Attribute.normalised("genre", names, train.genres)]


def _divided(train: Interactions) -> tuple[Interactions, sp.csr_matrix]:
    """Return the data without each listener's newest items, and those items."""
    if train.newest is None:
        raise EncoreError("the blend is learned on the newest items, and the data have no times")
    lengths = np.diff(train.weights.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    place = np.empty(len(rows), np.int64)
    place[np.lexsort((train.newest, rows))] = np.arange(len(rows))
    place -= np.repeat(train.weights.indptr[:-1], lengths)
    kept = np.minimum(np.ceil(lengths * (1 - _VALIDATION)), np.maximum(lengths - 1, 2))
    before = place < kept[rows]
    past, later = (
        sp.csr_matrix(
            (train.weights.data[chosen], (rows[chosen], train.weights.indices[chosen])),
            train.weights.shape,
        )
        for chosen in (before, ~before)
    )
    earlier = replace(train, weights=past, known=past.astype(bool), newest=train.newest[before])
    return earlier, later
