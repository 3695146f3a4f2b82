"""Models side by side: fitted to the same past, asked for lists, held to the same future."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from encore.errors import EncoreError
from recommender.interactions import Indexes, Interactions, Split
from recommender.metrics import Hits
from recommender.models.contract import Model
from recommender.topk import BLOCK_BYTES, mask, top_k

K = 20
SHORT = 10
# Listeners by how many items are known of them: new ones below the first number, and so on.
SEGMENTS: Mapping[str, tuple[int, float]] = {
    "new": (1, 6),
    "light": (6, 30),
    "heavy": (30, np.inf),
}
UNKNOWN = "unknown"  # the country of listeners who gave none
_NONE = -1
_RESAMPLES = 1000
_MOST_LISTS = 2_000  # of which the diversity is told: it needs every pair of items in a list

Numbers = NDArray[np.float64]
Segments = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Mean:
    """A mean over listeners, and the middle 95 % of it over resampled listeners (bootstrap)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """How a model did. Times are in seconds.

    ``segments`` (by how much is known of a listener) and ``countries`` have NDCG@10 and Recall@20.
    """

    model: str
    fit_s: float
    recommend_s: float
    means: Mapping[str, Mean]
    beyond: Mapping[str, float]
    segments: Segments = field(default_factory=dict)
    countries: Segments = field(default_factory=dict)

    def as_row(self) -> dict[str, Any]:
        """Return a flat row: ``model``, the metrics with their intervals, the times."""
        row: dict[str, Any] = {"model": self.model}
        for name, mean in self.means.items():
            row |= {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high}
        row |= dict(self.beyond)
        row |= {"fit_s": self.fit_s, "recommend_s": self.recommend_s, "segments": self.segments}
        if self.countries:
            row["countries"] = self.countries
        return row


@dataclass(frozen=True)
class Left:
    """A model that could not take part, and why."""

    model: str
    reason: str


def compare(
    split: Split, models: Sequence[Model], tell: Callable[[Result | Left], None], seed: int = 1
) -> list[Result]:
    """Fit and test each model; hand over each result as it comes.

    Raises:
        EncoreError: there is nobody to test on.
    """
    if not len(split.tested):
        raise EncoreError(
            "nobody can be tested on: no listener is on both sides of the split. "
            f"{split.cold} are on the later side only."
        )
    results = []
    for model in models:
        try:
            result = _test(split, model, seed)
        except EncoreError as error:
            tell(Left(model.name, str(error)))
            continue
        tell(result)
        results.append(result)
    return results


def lists(model: Model, train: Interactions, users: Indexes, k: int) -> Indexes:
    """Return the best k items of each listener that they do not know: (listeners, k).

    Where a list is shorter, -1 fills it up.
    """
    rows = max(1, BLOCK_BYTES // (4 * train.weights.shape[1]))
    found = np.full((len(users), k), _NONE, np.int64)
    for start in range(0, len(users), rows):
        block = users[start : start + rows]
        scores = model.scores(block)
        mask(scores, _rows(train.known, block))
        items, values = top_k(scores, k)
        items[~np.isfinite(values)] = _NONE
        found[start : start + rows, : items.shape[1]] = items
    return found


def _test(split: Split, model: Model, seed: int) -> Result:
    began = time.perf_counter()
    model.fit(split.train)
    fitted = time.perf_counter()
    ranked = lists(model, split.train, split.tested, K)
    done = time.perf_counter()
    hits = hits_of(ranked, split.relevant[split.tested])
    each = {
        f"recall@{K}": hits.recall(K),
        f"ndcg@{K}": hits.ndcg(K),
        f"recall@{SHORT}": hits.recall(SHORT),
        f"ndcg@{SHORT}": hits.ndcg(SHORT),
        f"map@{SHORT}": hits.average_precision(SHORT),
        f"hit_rate@{SHORT}": hits.hit_rate(SHORT),
    }
    return Result(
        model.name,
        round(fitted - began, 3),
        round(done - fitted, 3),
        {name: interval(values, seed) for name, values in each.items()},
        _beyond(ranked, split.train, seed),
        _segments(_by_activity(split), each),
        _segments(_by_country(split), each),
    )


def hits_of(ranked: Indexes, relevant: sp.csr_matrix) -> Hits:
    """Return which of the ranked items (listeners, k) are relevant (listeners, items)."""
    width = relevant.shape[1]
    rows = np.arange(len(ranked))[:, None] * width
    owners = np.repeat(np.arange(relevant.shape[0]), np.diff(relevant.indptr))
    wanted = owners * width + relevant.indices
    found = np.isin(ranked + rows, wanted) & (ranked != _NONE)
    return Hits(found, np.diff(relevant.indptr).astype(np.int64))


def interval(values: Numbers, seed: int) -> Mean:
    """Return the mean and its bootstrap interval (Efron, "Bootstrap Methods", 1979)."""
    draws = np.random.default_rng(seed)
    means = [
        float(np.average(values, weights=draws.multinomial(len(values), _even(len(values)))))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return Mean(float(values.mean()), float(low), float(high))


def _even(count: int) -> Numbers:
    return np.full(count, 1 / count)


def _beyond(ranked: Indexes, train: Interactions, seed: int) -> dict[str, float]:
    """Return coverage, novelty and diversity of lists.

    Coverage is the share of all items that any list holds. Novelty is the mean of
    -log2(share of listeners who have the item) (Zhou et al., PNAS 107(10), 2010). Diversity is the
    mean over lists of 1 - cosine of the listeners of two items in it (Ziegler et al., WWW 2005).
    """
    there = ranked[ranked != _NONE]
    binary = train.weights.astype(bool).astype(np.float32).tocsc()
    share = np.maximum(train.listeners[there], 1) / binary.shape[0]
    some = np.random.default_rng(seed).permutation(len(ranked))[:_MOST_LISTS]
    return {
        f"coverage@{K}": len(np.unique(there)) / max(binary.shape[1], 1),
        f"novelty@{K}": float(-np.log2(share).mean()) if len(there) else 0.0,
        f"diversity@{K}": _diversity(ranked[some], binary, train.listeners),
    }


def _diversity(ranked: Indexes, binary: sp.csc_matrix, listeners: NDArray[np.int64]) -> float:
    unit = (binary @ sp.diags_array(1 / np.sqrt(np.maximum(listeners, 1)))).T.tocsr()
    lengths = (ranked != _NONE).sum(axis=1)
    rows = np.repeat(np.arange(len(ranked)), lengths)
    marks = np.ones(len(rows), np.float32)
    picked = sp.csr_matrix((marks, (rows, ranked[ranked != _NONE])), (len(ranked), unit.shape[0]))
    # The sum over all pairs of a list is the squared length of the sum of its unit vectors.
    squared = np.asarray((picked @ unit).power(2).sum(axis=1)).ravel()
    own = np.asarray(picked @ unit.power(2).sum(axis=1)).ravel()
    pairs = lengths * (lengths - 1)
    several = pairs > 0
    return float((1 - (squared - own)[several] / pairs[several]).mean()) if several.any() else 0.0


def _by_activity(split: Split) -> dict[str, NDArray[np.bool_]]:
    sizes = np.diff(split.train.known.indptr)[split.tested]
    return {name: (sizes >= least) & (sizes < below) for name, (least, below) in SEGMENTS.items()}


def _by_country(split: Split) -> dict[str, NDArray[np.bool_]]:
    if split.train.countries is None:
        return {}
    named = pc.fill_null(split.train.countries, "").take(pa.array(split.tested))
    coded = pc.replace_with_mask(named, pc.equal(named, ""), pa.scalar(UNKNOWN)).dictionary_encode()
    codes = coded.indices.to_numpy()
    return {name: codes == code for code, name in enumerate(coded.dictionary.to_pylist())}


def _segments(
    groups: Mapping[str, NDArray[np.bool_]], each: Mapping[str, Numbers]
) -> dict[str, dict[str, float]]:
    return {
        name: {
            "users": int(members.sum()),
            f"ndcg@{SHORT}": float(each[f"ndcg@{SHORT}"][members].mean()),
            f"recall@{K}": float(each[f"recall@{K}"][members].mean()),
        }
        for name, members in groups.items()
        if members.any()
    }


def _rows(matrix: sp.csr_matrix, rows: Indexes) -> list[Indexes]:
    part = matrix[rows]
    return np.split(part.indices.astype(np.int64), part.indptr[1:-1])
