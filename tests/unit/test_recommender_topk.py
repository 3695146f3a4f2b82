"""The best k of each row, against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recommender.topk import Floats, Indexes, mask, top_k, unit_rows


def test_items_that_are_masked_are_of_no_row_s_best() -> None:
    scores = np.array([[3, 2, 1], [3, 2, 1]], np.float32)
    mask(scores, [np.array([0], np.int64), np.array([], np.int64)])
    items, values = top_k(scores, 2)
    assert items.tolist() == [[1, 2], [0, 1]]
    assert values.tolist() == [[2, 1], [3, 2]]


def test_a_row_of_zeros_stays_when_scaled() -> None:
    assert unit_rows(np.array([[0, 0], [3, 4]], np.float32)).tolist() == [
        [0.0, 0.0],
        pytest.approx([0.6, 0.8]),
    ]


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


@pytest.mark.parametrize("distinct", [3, 50, 1_000_000])
def test_top_k_of_long_rows_equals_a_full_sort_however_many_are_equal(distinct: int) -> None:
    draws = np.random.default_rng(distinct)
    scores = draws.integers(0, distinct, (40, 1_000)).astype(np.float32)
    scores[draws.random(scores.shape) < 0.1] = -np.inf
    scores[0] = -np.inf
    scores[1, 7:] = -np.inf  # fewer than are wanted
    columns, values = top_k(scores, 20)
    for row, found, found_values in zip(scores, columns, values, strict=True):
        best = np.lexsort((np.arange(len(row)), -row))[:20]
        there = np.isfinite(row[best])
        assert found[there].tolist() == best[there].tolist()
        assert found_values.tolist() == row[best].tolist()


def test_best_items_at_equal_distances_are_found_without_the_slower_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catalogues are numbered so that every twentieth item is of one genre, say."""

    def refuse(*_: object) -> None:
        raise AssertionError("too many items were likely")

    monkeypatch.setattr("recommender.topk._slowly", refuse)
    scores = np.random.default_rng(1).random((8, 25_000), np.float32)
    scores[:, ::20] += 10
    columns, _ = top_k(scores, 50)
    for row, found in zip(scores, columns, strict=True):
        assert found.tolist() == np.argsort(-row, kind="stable")[:50].tolist()
