"""Quality of ranked lists against what users then chose. Pure NumPy, items as whole numbers.

Relevance is binary. The formulas are those of Järvelin and Kekäläinen, "Cumulated gain-based
evaluation of IR techniques" (ACM TOIS 20(4), 2002) for NDCG, with the base-2 discount in the form
1 / log2(rank + 1), and of Manning, Raghavan and Schütze, "Introduction to Information Retrieval"
(2008), chapter 8, for recall and average precision. Coverage needs all lists at once and is
counted where they are gathered.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Items = NDArray[np.int64]

NDCG_AT: Final = 10
RECALL_AT: Final = 20
NDCG: Final = f"ndcg@{NDCG_AT}"
RECALL: Final = f"recall@{RECALL_AT}"
COVERAGE: Final = f"coverage@{RECALL_AT}"


def hits(ranked: Items, relevant: Items, k: int) -> NDArray[np.bool_]:
    """Tell for each of the first k ranks whether its item is relevant."""
    found: NDArray[np.bool_] = np.isin(ranked[:k], relevant)
    return found


def ndcg(ranked: Items, relevant: Items, k: int) -> float:
    """Return the discounted gain of the first k over that of the best possible list: 0 to 1.

    The best list has min(k, number of relevant items) hits at its top.
    """
    ideal = _discounts(min(k, len(relevant))).sum()
    found = hits(ranked, relevant, k)
    return float(_discounts(len(found))[found].sum() / ideal) if ideal else 0.0


def recall(ranked: Items, relevant: Items, k: int) -> float:
    """Return the share of the relevant items that are among the first k: 0 to 1."""
    return float(hits(ranked, relevant, k).sum() / len(relevant)) if len(relevant) else 0.0


def average_precision(ranked: Items, relevant: Items, k: int) -> float:
    """Return the mean, over the best possible number of hits, of the precision at each hit."""
    best = min(k, len(relevant))
    found = hits(ranked, relevant, k)
    precision = np.cumsum(found) / np.arange(1, len(found) + 1)
    return float(precision[found].sum() / best) if best else 0.0


def hit_rate(ranked: Items, relevant: Items, k: int) -> float:
    """Return 1 if any of the first k is relevant, else 0."""
    return float(hits(ranked, relevant, k).any())


@dataclass(frozen=True)
class Hits:
    """Many lists at once: what is at which rank, and how much there was to find.

    ``found`` is (listeners, ranks), False behind the end of a list; ``relevant`` is (listeners,),
    all above 0. Each method returns an array (listeners,), by the formula of the function of the
    same name.
    """

    found: NDArray[np.bool_]
    relevant: NDArray[np.int64]

    def ndcg(self, k: int) -> NDArray[np.float64]:
        """Return the discounted gain of the first k over that of the best possible list."""
        best = np.concatenate([[0.0], np.cumsum(_discounts(k))])
        gained = self.found[:, :k] @ _discounts(self.found[:, :k].shape[1])
        return np.asarray(gained / best[np.minimum(k, self.relevant)])

    def recall(self, k: int) -> NDArray[np.float64]:
        """Return the share of the relevant items that are among the first k."""
        return np.asarray(self.found[:, :k].sum(axis=1) / self.relevant)

    def average_precision(self, k: int) -> NDArray[np.float64]:
        """Return the mean, over the best possible number of hits, of the precision at each hit."""
        found = self.found[:, :k]
        precision = np.cumsum(found, axis=1) / np.arange(1, found.shape[1] + 1)
        return np.asarray((precision * found).sum(axis=1) / np.minimum(k, self.relevant))

    def hit_rate(self, k: int) -> NDArray[np.float64]:
        """Return 1 where any of the first k is relevant, else 0."""
        return np.asarray(self.found[:, :k].any(axis=1), np.float64)


def _discounts(ranks: int) -> NDArray[np.float64]:
    discounts: NDArray[np.float64] = 1.0 / np.log2(np.arange(2, ranks + 2))
    return discounts
