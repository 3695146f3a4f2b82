"""Metrics against those of another library: Bassani, "ranx" (ECIR 2022)."""

from typing import Final

import numba
import numpy as np
import pytest
import scipy.sparse as sp

from recommender import metrics
from recommender.comparison import hits_of

# ranx compiles itself for a minute when it is first called. It decides so when it is imported.
numba.config.DISABLE_JIT = True  # type: ignore[attr-defined]
from ranx import Qrels, Run, evaluate  # noqa: E402

LISTENERS: Final = 200
ITEMS: Final = 300
RANKS: Final = 30


def drawn(seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw a list of distinct items for each listener, and what is relevant: 1 to 40 items."""
    draws = np.random.default_rng(seed)
    ranked = np.array([draws.permutation(ITEMS)[:RANKS] for _ in range(LISTENERS)])
    relevant = [np.sort(draws.choice(ITEMS, draws.integers(1, 41), replace=False)) for _ in ranked]
    return ranked, relevant


def by_ranx(metric: str, ranked: np.ndarray, relevant: list[np.ndarray]) -> np.ndarray:
    """Return the metric of each listener, in order; a run is scores, which the ranks stand for."""
    wanted = {f"u{row:03}": {f"i{item}": 1 for item in items} for row, items in enumerate(relevant)}
    run = {
        f"u{row:03}": {f"i{item}": float(RANKS - rank) for rank, item in enumerate(items)}
        for row, items in enumerate(ranked)
    }
    found = evaluate(Qrels(wanted), Run(run), metric, return_mean=False)
    return np.asarray(found)


@pytest.fixture(scope="module", params=[1, 2])
def lists(request: pytest.FixtureRequest) -> tuple[np.ndarray, list[np.ndarray]]:
    return drawn(request.param)


# ranx divides the sum of average precision by the number of relevant items, found within k or
# not; ours by the best number of hits that k ranks can have, so that a perfect list is worth 1.
@pytest.mark.parametrize(
    ("theirs", "ours", "k"),
    [
        ("ndcg@10", "ndcg", 10),
        ("recall@20", "recall", 20),
        ("map@10", "average_precision", 10),
        ("hit_rate@10", "hit_rate", 10),
    ],
)
def test_metrics_are_those_of_ranx(
    theirs: str, ours: str, k: int, lists: tuple[np.ndarray, list[np.ndarray]]
) -> None:
    ranked, relevant = lists
    counts = np.array([len(items) for items in relevant])
    expected = by_ranx(theirs, ranked, relevant)
    if ours == "average_precision":
        expected = expected * counts / np.minimum(counts, k)
    rows = np.repeat(np.arange(LISTENERS), counts)
    cells = (rows, np.concatenate(relevant))
    wanted = sp.csr_matrix((np.ones(len(rows), np.float32), cells), (LISTENERS, ITEMS))
    at_once = getattr(hits_of(ranked, wanted), ours)(k)
    alone = [getattr(metrics, ours)(*one, k) for one in zip(ranked, relevant, strict=True)]
    np.testing.assert_allclose(at_once, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-9)
