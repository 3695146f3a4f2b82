"""Candidates, features, and the weights that put candidates in order."""

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.attributes import Attribute
from recommender.blend import Candidates, Signals, candidates, learn
from tests.models import having


def test_an_affinity_is_the_listeners_share_of_a_value_times_its_rarity() -> None:
    genre = Attribute.of("genre", [["rock"], ["rock"], ["jazz", "rock"], []])
    # Of two items with weight 1: rock 1 + 0.5, jazz 0.5, so shares 3/4 and 1/4; rock is on 3 of 4
    # items, jazz on 1: log(1 + 4/3) and log(1 + 4).
    rock, jazz = 0.75 * np.log(1 + 4 / 3), 0.25 * np.log(5)
    found = genre.affinity(having([[0, 2]], 4), np.array([[0, 1, 2, 3, -1]]))
    assert found[0] == pytest.approx([rock, rock, (rock + jazz) / 2, 0.0, 0.0])


def test_candidates_are_those_of_every_source_each_once_and_never_what_is_not_allowed() -> None:
    als = np.array([[3.0, 2.0, -np.inf, 1.0, 0.5]], np.float32)
    near = sp.csr_matrix(np.array([[0, 0, 5, 0, 4]] + [[0] * 5] * 4, np.float32))
    signals = Signals(near, (), {})
    found = candidates(signals, signals.names, als, having([[0]], 5))
    items = [item for item in found.items[0].tolist() if item >= 0]
    assert sorted(items) == [0, 1, 3, 4]
    by_item = dict(zip(found.items[0].tolist(), found.features[0].tolist(), strict=True))
    # 3, 2, 1 and 0.5: mean 1.625, deviation 0.9601; of co-listening 0, 0, 0 and 4: 1 and 1.7321
    assert by_item[0][0] == pytest.approx((3 - 1.625) / 0.96014, rel=1e-4)
    assert by_item[4] == pytest.approx([(0.5 - 1.625) / 0.96014, 3 / np.sqrt(3)], rel=1e-4)


def test_what_trends_most_is_a_candidate_unless_it_is_not_allowed() -> None:
    # 300 items: 0 trends most, 1 next; nothing is near anything, and ALS knows only two items.
    trend = np.linspace(1.0, 0.0, 300, dtype=np.float32)
    als = np.full((2, 300), -np.inf, np.float32)
    als[0, [7, 250]] = 1.0
    als[1] = np.arange(300)
    als[1, :60] = -np.inf
    signals = Signals(sp.csr_matrix((300, 300), dtype=np.float32), (), {"trend": trend})
    found = candidates(signals, ["als"], als, having([[0], [1]], 300))
    allowed = [sorted({item for item in row if item >= 0}) for row in found.items.tolist()]
    assert allowed[0] == [7, 250]
    # The best 200 of ALS are 100 to 299, and what trends most of the allowed is 60 to 109.
    assert allowed[1] == list(range(60, 300))


def test_candidates_are_ranked_by_the_weighted_sum_and_short_lists_are_filled_up() -> None:
    items = np.array([[4, 9, -1], [2, -1, -1]])
    features = np.array([[[1, 0], [0, 3], [9, 9]], [[1, 1], [9, 9], [9, 9]]], np.float32)
    best, scores = Candidates(items, features).ranked(np.array([1.0, 0.5], np.float32), 2)
    assert best.tolist() == [[9, 4], [2, -1]]
    assert scores[0].tolist() == [1.5, 1.0]


def test_the_feature_that_tells_what_is_chosen_gets_the_weight_and_noise_none() -> None:
    draws = np.random.default_rng(3)
    features = draws.normal(size=(400, 20, 3)).astype(np.float32)
    items = np.tile(np.arange(20), (400, 1))
    # Drawn by the very model that is learned: chances are the softmax of 2 * the second feature.
    chances = np.exp(2 * features[:, :, 1].astype(np.float64))
    chances /= chances.sum(axis=1, keepdims=True)
    picked = [draws.choice(20, p=row) for row in chances]
    chosen = np.zeros((400, 20), np.bool_)
    chosen[np.arange(400), picked] = True
    weights = learn(Candidates(items, features), chosen)
    assert weights[1] == pytest.approx(2.0, abs=0.25)
    assert weights[[0, 2]].max() < 0.15


def test_nothing_chosen_leaves_als_alone() -> None:
    features = np.ones((2, 3, 2), np.float32)
    found = Candidates(np.tile(np.arange(3), (2, 1)), features)
    assert learn(found, np.zeros((2, 3), np.bool_)).tolist() == [1.0, 0.0]


def test_candidates_of_several_blocks_come_to_one_width() -> None:
    one = Candidates(np.array([[5, 6]]), np.ones((1, 2, 1), np.float32))
    other = Candidates(np.array([[7]]), np.ones((1, 1, 1), np.float32))
    assert Candidates.stacked([one, other]).items.tolist() == [[5, 6], [7, -1]]
