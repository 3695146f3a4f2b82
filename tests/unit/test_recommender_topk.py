"""The best items of each user: one set of tests for every model, against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recommender import topk
from recommender.topk import Als, Floats, Indexes, Popularity, Scorer, recommend, top_k

ALS = Als(
    factors=np.array([[1, 0], [0, 1], [1, 1], [2, 0], [9, 9]], np.float32),
    trained=np.array([True, True, True, True, False]),
)
POPULARITY = Popularity(np.array([3, 1, 3, 2, 0]))
MODELS: dict[str, Scorer] = {"als": ALS, "popularity": POPULARITY}
USERS = np.array([[1, 0], [0, 1]], np.float32)


def lists(scorer: Scorer, left_out: list[list[int]], k: int) -> list[list[int]]:
    left = [np.array(one, np.int64) for one in left_out]
    return [items.tolist() for items, _ in recommend(scorer, USERS, left, k)]


@pytest.mark.parametrize("name", MODELS)
def test_items_left_out_are_never_recommended(name: str) -> None:
    for items in lists(MODELS[name], [[0, 3], [0, 3]], 5):
        assert set(items).isdisjoint({0, 3})


@pytest.mark.parametrize("name", MODELS)
def test_an_item_the_model_has_not_seen_is_never_recommended(name: str) -> None:
    for items in lists(MODELS[name], [[], []], 5):
        assert 4 not in items


@pytest.mark.parametrize("name", MODELS)
def test_a_list_is_shorter_where_all_is_known(name: str) -> None:
    assert lists(MODELS[name], [[0, 1, 2, 3], [0, 1, 2]], 5) == [[], [3]]


@pytest.mark.parametrize("name", MODELS)
def test_blocks_of_one_user_give_the_same_lists(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lists(MODELS[name], [[1], []], 3)
    monkeypatch.setattr(topk, "BLOCK_BYTES", 1)
    assert lists(MODELS[name], [[1], []], 3) == whole


def test_als_ranks_by_the_product_of_factors() -> None:
    assert lists(ALS, [[], []], 2) == [[3, 0], [1, 2]]


def test_popularity_ranks_by_count_and_equals_by_number() -> None:
    assert lists(POPULARITY, [[], [2]], 3) == [[0, 2, 3], [0, 3, 1]]


@given(
    scores=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(0, 12)),
        elements=st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 1.0, 2.0]),
    ),
    k=st.integers(1, 15),
)
def test_top_k_equals_a_full_sort_with_ties_by_number(scores: Floats, k: int) -> None:
    columns, values = top_k(scores, k)
    for row, found, found_values in zip(scores, columns, values, strict=True):
        finite = [
            item for item in np.lexsort((np.arange(len(row)), -row)) if np.isfinite(row[item])
        ]
        kept: Indexes = found[np.isfinite(found_values)]
        assert kept.tolist() == [int(item) for item in finite[:k]]
        assert found_values[: len(kept)].tolist() == row[kept].tolist()
