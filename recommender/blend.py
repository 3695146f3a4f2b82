"""Candidates of several sources, put in order by learned weights.

Candidates of a listener are the best of ALS, of co-listening and of what trends. Each gets a few
features, brought to mean 0 and deviation 1 within the listener's candidates, and is ordered by
their weighted sum. The weights are those under which what listeners chose next is most likely
among the candidates: McFadden, "Conditional logit analysis of qualitative choice behavior" (1974).
None is below zero, as no feature speaks against an item; one that learns nothing gets zero and is
not computed any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from recommender.attributes import Attribute
from recommender.topk import Floats, Indexes, top_k

ALS, NEIGHBOURS, TREND = "als", "neighbours", "trend"
BEST_OF = {ALS: 200, NEIGHBOURS: 100, TREND: 50}  # how many candidates each source gives
NEAREST = 300  # items by co-listening that an item keeps
_RIDGE = 1e-3  # keeps weights finite where one feature tells all
_LEAST_WEIGHT = 0.01  # of the greatest: what is below it changes no order worth its cost
_NONE = -1

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Signals:
    """What is known of items beside their factors.

    ``neighbours`` is (items, items): how like by co-listening, the nearest only. ``items`` has a
    number for each item, the same for all listeners (popularity, trend, recency).
    """

    neighbours: sp.csr_matrix
    attributes: Sequence[Attribute]
    items: Mapping[str, Floats]

    @property
    def names(self) -> tuple[str, ...]:
        """Name the features, in their order."""
        return (ALS, NEIGHBOURS, *(one.name for one in self.attributes), *self.items)

    @cached_property
    def trending(self) -> Indexes:
        """Return all items, those that trend most first, equals by number; none without a trend."""
        trend = self.items.get(TREND)
        return np.empty(0, np.int64) if trend is None else np.argsort(-trend, kind="stable")


@dataclass(frozen=True)
class Candidates:
    """Items (listeners, k), -1 where there are fewer, and features (listeners, k, names)."""

    items: Indexes
    features: Floats

    @classmethod
    def stacked(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """Put several under one another, brought to one width."""
        width = max(one.items.shape[1] for one in parts)
        items, features = [], []
        for one in parts:
            more = ((0, 0), (0, width - one.items.shape[1]))
            items.append(np.pad(one.items, more, constant_values=_NONE))
            features.append(np.pad(one.features, (*more, (0, 0))))
        return cls(np.concatenate(items), np.concatenate(features))

    def ranked(self, weights: Floats, k: int) -> tuple[Indexes, Floats]:
        """Return the best k of each listener, best first, and their scores; -1 fills up."""
        scores: Floats = self.features @ weights
        scores[self.items == _NONE] = -np.inf
        places, values = top_k(scores, k)
        items = np.take_along_axis(self.items, places, axis=1)
        return np.where(np.isfinite(values), items, _NONE), values


def candidates(
    signals: Signals, names: Sequence[str], als: Floats, weights: sp.csr_matrix
) -> Candidates:
    """Return each listener's candidates with the features of those names.

    ``als`` (listeners, items) is minus infinity where an item must not be recommended.
    """
    allowed = np.isfinite(als)
    near = _near(weights, signals.neighbours) * allowed
    items = _together(
        [
            _best(als, BEST_OF[ALS], above=-np.inf),
            _best(near, BEST_OF[NEIGHBOURS], above=0.0),
            _first(signals.trending, allowed, BEST_OF[TREND]),
        ]
    )
    there = items != _NONE
    at = np.maximum(items, 0)
    affinities = {one.name: one for one in signals.attributes}

    def feature(name: str) -> Floats:
        if name in affinities:
            return affinities[name].affinity(weights, items)
        if name in signals.items:
            return signals.items[name][at]
        return np.take_along_axis(als if name == ALS else near, at, axis=1)

    features = [_standard(feature(name), there) for name in names]
    return Candidates(items, np.stack(features, axis=2))


def learn(found: Candidates, chosen: NDArray[np.bool_]) -> Floats:
    """Return a weight for each feature; ``chosen`` (listeners, k) is what came next."""
    some = chosen.any(axis=1)
    features = found.features[some].astype(np.float64)
    there, chosen = found.items[some] != _NONE, chosen[some]
    shares = chosen / chosen.sum(axis=1, keepdims=True)
    wanted = np.einsum("uc,ucf->f", shares, features)

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        scores = np.where(there, features @ weights, -np.inf)
        total = logsumexp(scores, axis=1, keepdims=True)
        expected = np.einsum("uc,ucf->f", np.exp(scores - total), features)
        value = total.sum() - wanted @ weights + _RIDGE * len(features) * weights @ weights
        return float(value), expected - wanted + 2 * _RIDGE * len(features) * weights

    width = features.shape[2]
    start = np.zeros(width)
    start[0] = 1.0
    if not len(features):
        return start.astype(np.float32)
    result = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * width)
    weights = np.where(result.x < _LEAST_WEIGHT * result.x.max(), 0.0, result.x)
    return weights.astype(np.float32)


def _near(weights: sp.csr_matrix, neighbours: sp.csr_matrix) -> Floats:
    """Return how like all of a listener's items together each item is (listeners, items).

    The neighbours of all items of a listener stand in one row, an item as often as it is near one
    of them: making that dense adds them up, in half the time of a sparse product.
    """
    picked = neighbours[weights.indices]
    rows = (picked.data, picked.indices, picked.indptr[weights.indptr])
    shape = (weights.shape[0], neighbours.shape[1])
    return np.asarray(sp.csr_matrix(rows, shape).toarray(), np.float32)


def _best(scores: Floats, k: int, above: float) -> Indexes:
    items, values = top_k(scores, k)
    return np.where(values > above, items, _NONE)


def _first(order: Indexes, allowed: NDArray[np.bool_], k: int) -> Indexes:
    """Return the first k items of an order that each row allows, -1 where it allows fewer."""
    width = min(2 * k, len(order))
    open_ = allowed[:, order[:width]]
    while width < len(order) and (np.count_nonzero(open_, axis=1) < k).any():
        width = min(2 * width, len(order))
        open_ = allowed[:, order[:width]]
    place = np.cumsum(open_, axis=1)
    rows, columns = np.nonzero(open_ & (place <= k))
    first = np.full((len(allowed), k), _NONE, np.int64)
    first[rows, place[rows, columns] - 1] = order[columns]
    return first


def _together(sources: Sequence[Indexes]) -> Indexes:
    """Return each item once, in rising order, behind as many -1 as there were repeats."""
    items = np.concatenate(sources, axis=1)
    items.sort(axis=1)
    repeated = items[:, 1:] == items[:, :-1]
    items[:, 1:][repeated] = _NONE
    return items


def _standard(values: Floats, there: NDArray[np.bool_]) -> Floats:
    counts = np.maximum(there.sum(axis=1, keepdims=True), 1)
    values = np.where(there, values, 0.0)
    values = np.where(there, values - values.sum(axis=1, keepdims=True) / counts, 0.0)
    deviation = np.sqrt(np.square(values).sum(axis=1, keepdims=True) / counts)
    return np.asarray(values / np.maximum(deviation, 1e-9), np.float32)
