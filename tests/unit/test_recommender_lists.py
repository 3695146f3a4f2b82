"""Lists of a model: order, reasons, caps, diversity, exploration; and items nobody has heard."""

from collections import Counter

import numpy as np
import pytest

from recommender.attributes import Attribute
from recommender.bundle import EXPLORE
from recommender.content import learn_content
from recommender.foldin import HalfStep
from recommender.lists import list_rows
from recommender.rules import Rules, capped, closed_up, diversified
from recommender.similar import similar_rows
from tests.models import bundle, having, plain_catalogue

ROCK, JAZZ = (1.0, 0.0), (0.0, 1.0)


def lists_of(model: object, having_: list[list[int]], n: int) -> list[list[int]]:
    from recommender.bundle import Bundle

    assert isinstance(model, Bundle)
    count = len(model.trained)
    known = [np.array(one, np.int64) for one in having_]
    names = [f"u{row}" for row in range(len(having_))]
    made = model.lists(names, having(having_, count), known, n)
    return [[item for item in row if item >= 0] for row in made.items.tolist()]


def test_a_list_has_what_is_like_what_the_listener_has_and_not_that() -> None:
    model = bundle([ROCK, JAZZ, ROCK, JAZZ])
    assert lists_of(model, [[0], [1]], 2) == [[2, 1], [3, 0]]


def test_who_has_nothing_has_no_list_and_who_has_all_neither() -> None:
    model = bundle([ROCK, JAZZ])
    assert lists_of(model, [[], [0, 1]], 5) == [[], []]


def test_an_item_that_was_not_trained_is_not_recommended_by_its_score() -> None:
    assert lists_of(bundle([ROCK, ROCK, ROCK], untrained=[1]), [[0]], 5) == [[2]]


def test_the_blend_orders_by_its_weights() -> None:
    model = bundle(
        [ROCK, ROCK, (0.9, 0.1), JAZZ], listeners=[5, 6, 900, 6], blend={"popularity": 1.0}
    )
    assert lists_of(model, [[0]], 1) == [[2]]


def test_the_reason_is_the_greatest_summand_of_the_score() -> None:
    """A predicted preference is the sum of what each of the listener's items adds to it."""
    draws = np.random.default_rng(1)
    factors = draws.normal(size=(6, 3)).astype(np.float32)
    step = HalfStep.of(factors, alpha=4.0, regularization=0.2, scaled=False)
    weights = having([[0, 1, 2]], 6)
    weights.data[:] = [1.0, 5.0, 0.5]
    confidences = 1 + 4.0 * weights.data
    mine = factors[:3].astype(np.float64)
    left = factors.T.astype(np.float64) @ factors + mine.T @ (mine * (confidences - 1)[:, None])
    inverse = np.linalg.inv(left + 0.2 * np.eye(3))
    shares = factors[3:] @ inverse @ mine.T * confidences
    assert shares.sum(axis=1) == pytest.approx(step.solve(weights)[0] @ factors[3:].T, rel=1e-4)
    because = step.fold_in(weights).contributors(np.array([[3, 4, 5, -1]]))
    assert because[0].tolist() == [*shares.argmax(axis=1).tolist(), -1]


def test_rows_have_rank_score_source_and_reason() -> None:
    model = bundle([ROCK, JAZZ, ROCK])
    import pyarrow as pa

    rows = list_rows(model, pa.array(["u1"]), having([[0]], 3), [np.array([0], np.int64)], 9)
    found = rows.to_pylist()
    assert [(row["rank"], row["item_id"], row["source"]) for row in found] == [
        (1, "t2", "personal"),
        (2, "t1", "personal"),
    ]
    assert {row["reason"] for row in found} == {"because of Title t0"}
    assert {row["model_run_id"] for row in found} == {7}


def test_no_more_of_a_group_than_the_cap_and_those_without_a_group_stay() -> None:
    items = np.array([[0, 1, 2, 3, 4, -1]])
    groups = np.array([7, 7, 7, -1, -1], np.int32)
    assert capped(items, groups, 2).tolist() == [[True, True, False, True, True, True]]
    kept = np.array([[True, False, True, True, False, False]])
    found, scores = closed_up(items, np.array([[6, 5, 4, 3, 2, 1]], np.float32), kept)
    assert found.tolist() == [[0, 2, 3, -1, -1, -1]]
    assert scores[0, :3].tolist() == [6, 4, 3]


def test_a_list_keeps_to_the_cap_of_an_artist_and_is_still_full() -> None:
    artists = ["a", "a", "a", "a", "b", "b", "c"]
    catalogue = plain_catalogue([f"t{item}" for item in range(7)], artists=artists)
    model = bundle(
        [(1.0, item / 10) for item in range(7)], catalogue=catalogue, rules=Rules(per_artist=2)
    )
    (found,) = lists_of(model, [[0]], 5)
    assert len(found) == 5
    assert Counter(artists[item] for item in found) == {"a": 2, "b": 2, "c": 1}


def test_relevance_and_novelty_alternate_as_worked_out_by_hand() -> None:
    # Two alike at the top, one apart: with 0.5, the second place has 0.5 * 0.9 - 0.5 * 1 for the
    # twin and 0.5 * 0.2 - 0 for the other.
    unit = np.array([ROCK, ROCK, JAZZ, JAZZ], np.float32)
    items, scores = np.array([[0, 1, 2, 3]]), np.array([[1.0, 0.9, 0.2, 0.0]], np.float32)
    found, values = diversified(items, scores, unit, 3, 0.5)
    assert found.tolist() == [[0, 2, 1]]
    assert values[0].tolist() == pytest.approx([1.0, 0.2, 0.9])
    assert diversified(items, scores, unit, 3, 0.0)[0].tolist() == [[0, 1, 2]]


def test_hardly_heard_items_get_their_share_marked_as_such_and_drawn_by_likelihood() -> None:
    ids = [f"t{item:03}" for item in range(120)]
    factors = [ROCK if item % 2 else JAZZ for item in range(120)]
    listeners = [50] * 60 + [0] * 60
    model = bundle(
        factors, catalogue=plain_catalogue(ids), listeners=listeners,
        untrained=range(60, 120), rules=Rules(exploration=0.2),
    )  # fmt: skip
    names = [f"u{row}" for row in range(200)]
    known = [np.array([1], np.int64)] * 200
    made = model.lists(names, having([[1]] * 200, 120), known, 10)
    assert made.explored.sum(axis=1).tolist() == [2] * 200
    assert made.explored[:, 0].sum() == 0
    explored = made.items[made.explored]
    assert (explored >= 60).all()
    assert len(np.unique(explored)) > 30  # everyone has a chance
    assert (explored % 2 == 1).mean() > 0.6  # those that are like it a better one
    again = model.lists(names, having([[1]] * 200, 120), known, 10)
    assert (again.items == made.items).all()
    assert (np.diff(made.scores, axis=1) <= 0).all()
    import pyarrow as pa

    row = list_rows(model, pa.array(["u0"]), having([[1]], 120), known[:1], 10).to_pylist()
    sources = Counter(one["source"] for one in row)
    assert sources[EXPLORE] == 2
    assert {one["reason"] for one in row if one["source"] == EXPLORE} == {
        "new, and like Title t001"
    }


def test_the_factors_of_a_new_item_are_near_those_of_its_artist() -> None:
    artist = Attribute.of(
        "artist", [["rocker"]] * 6 + [["jazzer"]] * 6 + [["rocker"], [], ["nobody"]]
    )
    factors = np.array([ROCK] * 6 + [JAZZ] * 6 + [(0, 0)] * 3, np.float32)
    heard = np.array([9] * 12 + [0] * 3)
    found = learn_content((artist,), factors, heard).predict((artist,))
    # Ridge by hand: of 6 items each half away from the mean (0.5), 6 / (6 + 3) of it is kept.
    assert found[12] == pytest.approx([0.5 + 0.5 * 6 / 9, 0.5 - 0.5 * 6 / 9], rel=1e-2)
    assert found[13].tolist() == [0.0, 0.0]
    assert found[14].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)


def test_similar_items_join_factors_co_listening_and_text() -> None:
    catalogue = plain_catalogue(["t0", "t1", "t2", "t3"], artists=["one", "two", "three", "one"])
    neighbours = having([[2], [], [], []], 4)  # who has t0 has t2
    model = bundle([ROCK, ROCK, JAZZ, JAZZ], catalogue=catalogue, neighbours=neighbours)
    rows = [row for batch in similar_rows(model, 5) for row in batch.to_pylist()]
    mine = [row for row in rows if row["item_id"] == "t0"]
    assert {(row["similar_item_id"], row["source"]) for row in mine} == {
        ("t1", "factors"),
        ("t2", "co-listening"),
        ("t3", "text"),
    }
    # First of one of three lists: a third of what the first of all three would have.
    assert [row["score"] for row in mine] == pytest.approx([1 / 3] * 3)
    assert [row["rank"] for row in mine] == [1, 2, 3]
