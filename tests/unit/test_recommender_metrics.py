"""Metrics of ranked lists, against answers computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.metrics import average_precision, ndcg, recall

RANKED = np.array([7, 3, 9, 1, 5])
RELEVANT = np.array([3, 1, 8])


def test_ndcg_discounts_hits_at_ranks_2_and_4() -> None:
    # gain 1/log2(3) + 1/log2(5) = 0.63093 + 0.43068; ideal 1 + 0.63093 + 0.5
    assert ndcg(RANKED, RELEVANT, 5) == pytest.approx(1.06161 / 2.13093, abs=1e-5)


def test_ndcg_sees_the_first_k_only() -> None:
    # rank 2 alone; the ideal two ranks are both hits
    assert ndcg(RANKED, RELEVANT, 2) == pytest.approx(0.63093 / 1.63093, abs=1e-5)


def test_recall_is_over_all_relevant_items_even_beyond_k() -> None:
    assert recall(RANKED, RELEVANT, 5) == pytest.approx(2 / 3)
    assert recall(RANKED, RELEVANT, 2) == pytest.approx(1 / 3)


def test_average_precision_is_the_mean_precision_at_hits() -> None:
    # precision 1/2 at rank 2 and 2/4 at rank 4, over three relevant items
    assert average_precision(RANKED, RELEVANT, 5) == pytest.approx((0.5 + 0.5) / 3)


@pytest.mark.parametrize("metric", [ndcg, recall, average_precision])
def test_an_empty_list_and_nothing_relevant_are_worth_nothing(metric: object) -> None:
    assert callable(metric)
    assert metric(np.array([], np.int64), RELEVANT, 5) == 0.0
    assert metric(RANKED, np.array([], np.int64), 5) == 0.0


@given(
    relevant=st.sets(st.integers(0, 50), min_size=1, max_size=30),
    k=st.integers(1, 20),
)
def test_the_best_possible_list_scores_one(relevant: set[int], k: int) -> None:
    best = np.array(sorted(relevant) + [100 + rank for rank in range(k)])
    wanted = np.array(sorted(relevant))
    assert ndcg(best, wanted, k) == pytest.approx(1.0)
    assert average_precision(best, wanted, k) == pytest.approx(1.0)
    assert recall(best, wanted, k) == pytest.approx(min(k, len(relevant)) / len(relevant))
