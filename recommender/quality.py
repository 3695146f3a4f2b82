"""How good the lists of a model are on the newest part of the data, and what orders them best."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recommender.blend import Candidates, learn
from recommender.bundle import Bundle
from recommender.comparison import hits_of, interval
from recommender.metrics import COVERAGE, NDCG, NDCG_AT, RECALL, RECALL_AT, Hits
from recommender.topk import Floats, Indexes, mask, top_k

ALS, BLEND, POPULARITY = "als", "blend", "popularity"
LOW, HIGH = f"{NDCG}_low", f"{NDCG}_high"
MOST_TESTED = 5_000  # listeners: enough for an interval of a few thousandths
_FOLDS = 2


@dataclass(frozen=True)
class Tested:
    """Listeners on both sides of the split: what they had, what they knew, what came after.

    ``weights`` and ``relevant`` are (listeners, items).
    """

    weights: sp.csr_matrix
    known: Sequence[Indexes]
    relevant: sp.csr_matrix

    def blocks(self, rows: int) -> "Iterator[Tested]":
        """Divide into at most so many listeners at a time."""
        for start in range(0, len(self.known), rows):
            part = slice(start, start + rows)
            yield Tested(self.weights[part], self.known[part], self.relevant[part])


@dataclass(frozen=True)
class Quality:
    """Metrics by model, fit for JSON, and the blend's weights: empty where ALS alone is better."""

    metrics: Mapping[str, Any]
    blend: Mapping[str, float]


def measure(bundle: Bundle, tested: Tested, seed: int, *, may_blend: bool = True) -> Quality:
    """Test a model of the past on what came after, with and without the blend.

    The blend's weights are learned on one half of the listeners and tested on the other, and the
    other way round; those that are returned are learned on all. The blend is taken if its NDCG is
    better than that of ALS by more than its bootstrap interval.
    """
    if not len(tested.known):
        return Quality({"test_users": 0}, {})
    als, popular, found = [], [], []
    for block in tested.blocks(min(bundle.block_rows, 500)):
        _, scores = bundle.scores(block.weights, block.known)
        als.append(_best(scores))
        popular.append(_best(_popularity(bundle.listeners, block.known)))
        if may_blend:
            found.append(bundle.candidates(block.weights, scores))
    ranked = {ALS: _stacked(als), POPULARITY: _stacked(popular)}
    weights: Floats = np.empty(0, np.float32)
    if found:
        ranked[BLEND], weights = _crossed(Candidates.stacked(found), tested.relevant)
    hits = {name: hits_of(lists, tested.relevant) for name, lists in ranked.items()}
    items = int(bundle.trained.sum())
    metrics: dict[str, Any] = {
        name: _row(hits[name], ranked[name], items, seed) for name in ranked
    } | {"test_users": len(tested.known)}
    blend = {}
    if found and _better(hits[BLEND], hits[ALS], seed):
        pairs = zip(bundle.signals.names, weights.tolist(), strict=True)
        blend = {name: round(weight, 6) for name, weight in pairs if weight}
    return Quality(metrics | {"published": BLEND if blend else ALS}, blend)


def verdict(metrics: Mapping[str, Any]) -> str | None:
    """Return a warning where the model is no better than popularity, or could not be tested."""
    if not metrics["test_users"]:
        return "the model could not be tested: no listener is on both sides of the split in time"
    als, popularity = metrics[ALS][NDCG], metrics[POPULARITY][NDCG]
    if als > popularity:
        return None
    return f"the model does not beat popularity: {NDCG} {als:.4f} against {popularity:.4f}"


def _crossed(found: Candidates, relevant: sp.csr_matrix) -> tuple[Indexes, Floats]:
    chosen = hits_of(found.items, relevant).found
    fold = np.arange(len(chosen)) % _FOLDS
    lists = np.full((len(chosen), RECALL_AT), -1, np.int64)
    for one in range(_FOLDS):
        inside, outside = fold == one, fold != one
        weights = learn(_some(found, outside), chosen[outside])
        best, _ = _some(found, inside).ranked(weights, RECALL_AT)
        lists[np.flatnonzero(inside)[:, None], np.arange(best.shape[1])] = best
    return lists, learn(found, chosen)


def _some(found: Candidates, rows: NDArray[np.bool_]) -> Candidates:
    return Candidates(found.items[rows], found.features[rows])


def _better(hits: Hits, than: Hits, seed: int) -> bool:
    return interval(hits.ndcg(NDCG_AT) - than.ndcg(NDCG_AT), seed).low > 0


def _row(hits: Hits, lists: Indexes, items: int, seed: int) -> dict[str, float]:
    mean = interval(hits.ndcg(NDCG_AT), seed)
    there = lists[lists >= 0]
    return {
        NDCG: mean.value,
        LOW: mean.low,
        HIGH: mean.high,
        RECALL: float(hits.recall(RECALL_AT).mean()),
        COVERAGE: len(np.unique(there)) / max(items, 1),
    }


def _popularity(listeners: Indexes, known: Sequence[Indexes]) -> Floats:
    row = np.where(listeners > 0, listeners, -np.inf).astype(np.float32)
    scores = np.tile(row, (len(known), 1))
    mask(scores, known)
    return scores


def _best(scores: Floats) -> Indexes:
    items, values = top_k(scores, RECALL_AT)
    return np.where(np.isfinite(values), items, -1)


def _stacked(lists: Sequence[Indexes]) -> Indexes:
    return np.concatenate(lists)
