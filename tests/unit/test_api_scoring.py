"""Scores for sessions and groups, by hand on two tastes at right angles."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.bundle import Bundle
from recommender.live.listeners import Listeners
from recommender.rules import Rules
from serving.scoring import Scored, because, estimates, for_group, for_session
from tests.models import model_of, plain_catalogue

# Y'Y is 2 on the diagonal. Confidence 1 + weight, regularisation 1 for each item of a listener.
FACTORS = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (1.0, 0.0), "d": (0.0, 1.0)}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    model = model_of(FACTORS, alpha=1.0, regularization=1.0, now_s=0.0)
    catalogue = plain_catalogue(list(FACTORS), artists=["x", "x", "y", "y"])
    return model.bundle(catalogue, Rules(exploration=0.4), 7)


def told(found: Sequence[Scored]) -> list[Any]:
    return [(one.item_id, one.score, one.reason) for one in found]


def listeners(**given: dict[str, float]) -> Listeners:
    matrix = sp.lil_matrix((len(given), len(FACTORS)), dtype=np.float32)
    for row, items in enumerate(given.values()):
        for item, weight in items.items():
            matrix[row, list(FACTORS).index(item)] = weight
    weights = matrix.tocsr()
    known = [weights[row].indices.astype(np.int64) for row in range(len(given))]
    return Listeners(list(given), weights, known)


def test_a_session_is_folded_in_exactly(bundle: Bundle) -> None:
    # x1 = (1 + 1) / (2 + 1 + 1): 1/2
    found = for_session(bundle, {"a": 1.0}, [], 10)
    assert told(found) == [
        ("c", pytest.approx(0.5), "because of Title a"),
        ("b", pytest.approx(0.0), "because of Title a"),
        ("d", pytest.approx(0.0), "because of Title a"),
    ]
    # x = (2 / (2 + 1 + 2), 4 / (2 + 3 + 2)): (2/5, 4/7)
    found = for_session(bundle, {"a": 1.0, "b": 3.0}, [], 10)
    assert [(one.item_id, round(one.score, 4)) for one in found] == [("d", 0.5714), ("c", 0.4)]


def test_a_session_leaves_out_what_it_is_told_to_and_keeps_the_caps(bundle: Bundle) -> None:
    assert [one.item_id for one in for_session(bundle, {"a": 1.0}, ["c"], 10)] == ["b", "d"]
    found = for_session(bundle, {"a": 1.0}, [], 10, per_artist=1)
    assert [one.item_id for one in found] == ["c", "b"]
    assert [one.item_id for one in for_session(bundle, {"a": 1.0}, [], 1)] == ["c"]


def test_a_session_of_unknown_items_has_no_list(bundle: Bundle) -> None:
    assert for_session(bundle, {"z": 1.0}, [], 10) == []
    known_too = for_session(bundle, {"z": 1.0, "a": 1.0}, [], 1)
    assert [one.score for one in known_too] == [pytest.approx(0.5)]


def test_a_group_gets_what_is_best_on_the_average(bundle: Bundle) -> None:
    # ada (1/2, 0), bob (0, (1 + 3) / (2 + 3 + 1)): (0, 2/3)
    both = listeners(ada={"a": 1.0}, bob={"b": 3.0})
    found = for_group(bundle, both, [], 10, exclude_known=True, least=False)
    assert told(found) == [
        ("d", pytest.approx(1 / 3), "because bob played Title b"),
        ("c", pytest.approx(1 / 4), "because ada played Title a"),
    ]
    assert found[0].by_user == {"ada": pytest.approx(0.0), "bob": pytest.approx(2 / 3)}
    with_known = for_group(bundle, both, ["d"], 10, exclude_known=False, least=False)
    assert [one.item_id for one in with_known] == ["b", "a", "c"]


def test_a_group_can_ask_that_nobody_suffers(bundle: Bundle) -> None:
    # x of both: (2/5, 2/5); eve: (1/2, 0)
    two = listeners(both={"a": 1.0, "b": 1.0}, eve={"a": 1.0})
    found = for_group(bundle, two, [], 10, exclude_known=True, least=True)
    assert told(found) == [
        ("c", pytest.approx(0.4), "because eve played Title a"),
        ("d", pytest.approx(0.0), "because both played Title b"),
    ]


def test_shares_add_up_to_what_is_predicted(bundle: Bundle) -> None:
    # x1 = (2 + 2) / (2 + 1 + 1 + 3): 4/7, half of it by each of a and c; x2 = 2 / (2 + 1 + 3)
    ada = listeners(ada={"a": 1.0, "b": 1.0, "c": 1.0})
    shares: list[Any] = because(bundle, ada, "c")
    assert shares == [
        ("a", pytest.approx(2 / 7)),
        ("c", pytest.approx(2 / 7)),
        ("b", pytest.approx(0.0)),
    ]
    assert estimates(bundle, ada, ["c", "d", "z"]) == {
        "c": pytest.approx(4 / 7),
        "d": pytest.approx(1 / 3),
        "z": None,
    }
