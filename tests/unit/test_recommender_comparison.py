"""Models side by side: lists, metrics over many listeners at once, intervals, what is written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from encore.errors import EncoreError, UsageError
from encore.settings import load_settings
from recommender import evaluation, metrics
from recommender.als import AlsParameters
from recommender.comparison import Left, Result, compare, hits_of, interval, lists
from recommender.interactions import Interactions, Split
from recommender.leaving_out import LeftOut, leave_out
from recommender.models.linear import GenreAffinity, Neighbours, Popular
from recommender.options import By


def matrix(rows: list[list[int]], width: int) -> sp.csr_matrix:
    cells = [(row, column) for row, columns in enumerate(rows) for column in columns]
    at = ([row for row, _ in cells], [column for _, column in cells])
    found = sp.csr_matrix((np.ones(len(cells), np.float32), at), (len(rows), width))
    found.sort_indices()
    return found


def split(past: list[list[int]], future: list[list[int]], width: int) -> Split:
    weights = matrix(past, width)
    names = pa.array([f"n{n:03}" for n in range(max(width, len(past)))])
    train = Interactions(names[: len(past)], names[:width], weights, weights.astype(bool))
    return Split(train, matrix(future, width))


# Listeners of each item: 0 three, 1 two, 2 two, 3 one, 4 none.
SMALL = split([[0, 1], [0, 2], [0, 1, 2, 3]], [[2, 3], [3], []], 5)


def test_lists_leave_out_what_is_known_and_what_nobody_has() -> None:
    model = Popular()
    model.fit(SMALL.train)
    found = lists(model, SMALL.train, SMALL.tested, 3)
    assert found.tolist() == [[2, 3, -1], [1, 3, -1]]


def test_models_are_told_apart_by_hand_computed_figures() -> None:
    told: list[Result | Left] = []
    (result,) = compare(SMALL, [Popular()], told.append)
    assert told == [result]
    # Listener 0: hits at ranks 1 and 2 of two; listener 1: a hit at rank 2 of one.
    assert result.means["recall@20"].value == pytest.approx(1.0)
    assert result.means["ndcg@20"].value == pytest.approx((1.0 + 1 / np.log2(3)) / 2)
    assert result.means["map@10"].value == pytest.approx((1.0 + 0.5) / 2)
    assert result.beyond["coverage@20"] == 3 / 5
    # Items 2 and 1 are with two of three listeners, item 3 with one, twice.
    novelty = -(2 * np.log2(2 / 3) + 2 * np.log2(1 / 3)) / 4
    assert result.beyond["novelty@20"] == pytest.approx(novelty)
    # Cosine of items 2 and 3, and of items 1 and 3: one common listener of two and one.
    assert result.beyond["diversity@20"] == pytest.approx(1 - 1 / np.sqrt(2))
    assert result.segments == {"new": {"users": 2, "ndcg@10": pytest.approx(0.81546, abs=1e-5),
                                       "recall@20": 1.0}}  # fmt: skip


def test_listeners_are_told_apart_by_country() -> None:
    countries = pa.array(["BR", None, "SE"])
    told = replace(SMALL, train=replace(SMALL.train, countries=countries))
    (result,) = compare(told, [Popular()], lambda _: None)
    # The listener of SE is not tested; the other's country is not known.
    assert result.countries == {
        "BR": {"users": 1, "ndcg@10": 1.0, "recall@20": 1.0},
        "unknown": {"users": 1, "ndcg@10": pytest.approx(1 / np.log2(3)), "recall@20": 1.0},
    }
    assert result.as_row()["countries"] == result.countries
    table = evaluation.segment_table([result], By.COUNTRY)
    assert [list(column.cells) for column in table.columns] == [
        ["BR", "unknown"],
        ["1", "1"],
        ["1.0000", "0.6309"],
    ]
    table = evaluation.segment_table([result], By.ACTIVITY)
    assert list(table.columns[0].cells) == ["new"]


def test_who_is_left_out_of_training_is_folded_in_by_their_own_pairs() -> None:
    seen: list[Interactions] = []

    class Watched(Neighbours):
        def fit(self, train: Interactions) -> None:
            seen.append(train)
            super().fit(train)

    found = leave_out(SMALL, Watched, share=0.5, seed=1)
    whole, without = seen
    (stranger,) = np.flatnonzero(np.diff(whole.weights.indptr) - np.diff(without.weights.indptr))
    assert stranger in SMALL.tested
    assert without.weights[[stranger]].nnz == 0
    assert without.known is whole.known
    assert (found.users, found.model) == (1, "knn-cosine")
    # Both lists hold every item that is left, but for those that only the stranger had.
    assert found.trained == found.folded == found.ratio == 1.0
    assert evaluation.left_out_line(found) == (
        "knn-cosine: Recall@20 of 1 listeners 1.0000 trained with, 1.0000 left out and folded in: "
        "1.000 of it"
    )


@pytest.mark.parametrize(("share", "message"), [(1.5, "is no share"), (0.1, "is nobody; raise it")])
def test_a_share_that_leaves_nobody_out_or_everybody_is_told(share: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        leave_out(SMALL, Popular, share, seed=1)


def test_a_model_that_cannot_be_trained_without_them_is_told() -> None:
    with pytest.raises(EncoreError, match="genres could not be trained: the data have no genres"):
        leave_out(SMALL, GenreAffinity, 0.5, seed=1)


def test_a_model_that_the_data_do_not_suffice_for_is_left_out_with_its_reason() -> None:
    told: list[Result | Left] = []
    results = compare(SMALL, [GenreAffinity(), Popular()], told.append)
    assert told[0] == Left("genres", "the data have no genres of items")
    assert [one.model for one in results] == ["popular"]


def test_nobody_to_test_on_is_told() -> None:
    with pytest.raises(EncoreError, match="nobody can be tested on"):
        compare(split([[0], [1]], [[], []], 2), [Popular()], lambda _: None)


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 30), unique=True, max_size=25),
            st.sets(st.integers(0, 30), min_size=1),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 25),
)
def test_many_lists_at_once_are_worth_what_each_is_alone(
    cases: list[tuple[list[int], set[int]]], k: int
) -> None:
    ranked = np.full((len(cases), 25), -1, np.int64)
    for row, (items, _) in enumerate(cases):
        ranked[row, : len(items)] = items
    hits = hits_of(ranked, matrix([sorted(relevant) for _, relevant in cases], 31))
    for name in ("ndcg", "recall", "average_precision", "hit_rate"):
        alone = getattr(metrics, name)
        expected = [
            alone(np.array(items, np.int64), np.array(sorted(relevant)), k)
            for items, relevant in cases
        ]
        np.testing.assert_allclose(getattr(hits, name)(k), expected, atol=1e-12)


def test_the_interval_of_a_mean_is_that_of_the_normal_law_where_there_are_many() -> None:
    values = np.random.default_rng(3).normal(5.0, 2.0, 10_000)
    found = interval(values, seed=1)
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - 1.96 * 2 / 100, abs=0.004)
    assert found.high == pytest.approx(values.mean() + 1.96 * 2 / 100, abs=0.004)
    assert interval(values, seed=1) == found


ALS = AlsParameters(rank=4, iterations=2, regularization=0.1, alpha=1.0, seed=1, blocks=1)


def test_a_model_that_there_is_not_is_told_with_those_there_are() -> None:
    every = evaluation.makers(load_settings(), ALS, ease_items=100, neighbours=100)
    assert evaluation.chosen("ease, popular", every) == ["ease", "popular"]
    with pytest.raises(UsageError, match=r"--models 'lightgcn': there is popular, trending"):
        evaluation.chosen("lightgcn", every)


def test_results_are_written_as_json_and_as_a_picture(tmp_path: Path) -> None:
    results = compare(SMALL, [Popular(), Neighbours()], lambda _: None)
    left_out = LeftOut("popular", users=2, trained=0.5, folded=0.4)
    evaluation.write_json(results, [left_out], tmp_path / "out.json")
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["model"] for row in rows] == ["popular", "knn-cosine"]
    assert rows[0]["left_out"]["ratio"] == 0.8
    assert "left_out" not in rows[1]
    assert "countries" not in rows[0]
    assert {"recall@20", "ndcg@20", "coverage@20", "fit_s", "recommend_s"} <= rows[0].keys()
    evaluation.draw(results, tmp_path / "out.svg", "a title")
    assert (tmp_path / "out.svg").stat().st_size > 5_000
