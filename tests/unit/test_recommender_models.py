"""One set of tests for every model, and what each one is, by hand or by brute force."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from encore.errors import EncoreError
from recommender.als import AlsParameters
from recommender.foldin import HalfStep
from recommender.interactions import Interactions
from recommender.models.blended import Blended
from recommender.models.contract import Model
from recommender.models.factors import IMPLICIT, Engine, Factors
from recommender.models.linear import (
    Ease,
    GenreAffinity,
    NeighbourMean,
    Neighbours,
    Popular,
    invert,
)

PARAMETERS = AlsParameters(rank=4, iterations=15, regularization=0.1, alpha=10.0, seed=3, blocks=2)
MODELS: dict[str, Callable[[], Model]] = {
    "popular": Popular,
    "trending": lambda: Popular(half_life_days=1.0),
    "genres": GenreAffinity,
    "knn-cosine": lambda: Neighbours("cosine", 5),
    "knn-bm25": lambda: Neighbours("bm25", 5),
    "knn-mean": lambda: NeighbourMean(5),
    "ease": lambda: Ease(1.0),
    "als-implicit": lambda: Factors(IMPLICIT, PARAMETERS),
    "als-implicit-folded": lambda: Factors(IMPLICIT, PARAMETERS, fold=True),
    "blend": lambda: Blended(IMPLICIT, PARAMETERS),
}
NOBODY_HAS = 10


def two_tastes() -> Interactions:
    """Twenty listeners of items 0 to 4, twenty of items 5 to 9; nobody has item 10."""
    draws = np.random.default_rng(7)
    dense = np.zeros((40, 11), np.float32)
    for user in range(40):
        liked = draws.choice(5, 3, replace=False) + (0 if user < 20 else 5)
        dense[user, liked] = draws.uniform(0.5, 3.0, 3)
    weights = sp.csr_matrix(dense)
    genres = np.zeros((11, 2), np.float32)
    genres[:5, 0] = genres[5:, 1] = 1
    return Interactions(
        pa.array([f"u{n:02}" for n in range(40)]),
        pa.array([f"i{n:02}" for n in range(11)]),
        weights,
        weights.astype(bool),
        np.full(weights.nnz, 1_793_534_400.0),
        sp.csr_matrix(genres),
    )


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    made = MODELS[request.param]()
    assert made.name == request.param
    made.fit(two_tastes())
    return made


def test_scores_are_finite_but_for_items_that_nobody_has(model: Model) -> None:
    scores = model.scores(np.array([0, 39, 0]))
    assert scores.shape == (3, 11)
    assert np.isfinite(scores[:, :NOBODY_HAS]).all()
    assert not (scores[:, NOBODY_HAS] > 0).any()
    np.testing.assert_array_equal(scores[0], scores[2])
    scores[:] = 0  # a new matrix each time: what the caller does to it stays with the caller
    assert model.scores(np.array([0])).any()


def test_a_stranger_folded_in_gets_what_their_items_speak_for(model: Model) -> None:
    strangers = sp.csr_matrix(([1.0, 1.0, 1.0], ([0, 0, 1], [0, 1, 6])), (2, 11), np.float32)
    scores = model.fold_in(strangers)
    assert scores.shape == (2, 11)
    if model.name not in ("popular", "trending"):
        assert scores[0, 2:5].mean() > scores[0, 5:10].mean()
        assert scores[1, [5, 7, 8, 9]].mean() > scores[1, 0:5].mean()


def test_similar_items_leave_the_item_out_and_come_best_first(model: Model) -> None:
    items, scores = model.similar(7, 4)
    assert 7 not in items
    assert NOBODY_HAS not in items[:3]
    assert list(scores) == sorted(scores, reverse=True)
    if model.name not in ("popular", "trending"):
        assert set(items[:3].tolist()) <= {5, 6, 8, 9}


def test_trending_counts_by_age() -> None:
    weights = sp.csr_matrix(([1.0, 1.0, 1.0], ([0, 1, 2], [0, 0, 1])), (3, 2), np.float32)
    names = pa.array(["a", "b", "c"])
    newest = np.array([0.0, 0.0, 2 * 86_400.0])
    model = Popular(half_life_days=1.0)
    model.fit(Interactions(names, names[:2], weights, weights.astype(bool), newest))
    assert model.scores(np.array([0])).tolist() == [[0.5, 1.0]]
    with pytest.raises(EncoreError, match="no times"):
        model.fit(Interactions(names, names[:2], weights, weights.astype(bool)))


def test_ease_is_the_closed_form_of_its_paper() -> None:
    train = two_tastes()
    binary = train.weights.astype(bool).astype(np.float64).toarray()[:, :10]
    inverse = np.linalg.inv(binary.T @ binary + 2.0 * np.eye(10))
    expected = inverse / -np.diag(inverse)
    np.fill_diagonal(expected, 0)
    model = Ease(2.0)
    model.fit(train)
    found = model.scores(np.arange(40))[:, :10]
    np.testing.assert_allclose(found, binary @ expected, atol=1e-5)


def test_a_large_matrix_is_inverted_by_halves() -> None:
    draws = np.random.default_rng(5)
    half = draws.normal(size=(60, 37)).astype(np.float32)
    matrix = half.T @ half + np.eye(37, dtype=np.float32)
    found = matrix.copy()
    invert(found, at_once=10)
    np.testing.assert_allclose(found @ matrix, np.eye(37), atol=1e-4)


def test_ease_that_cannot_be_solved_is_told() -> None:
    with pytest.raises(EncoreError, match="regularization of -500; raise it"):
        Ease(-500.0).fit(two_tastes())


def test_ease_takes_the_most_popular_items_only_where_there_are_too_many() -> None:
    train = two_tastes()
    most = np.argsort(-np.diff(train.weights.tocsc().indptr), kind="stable")[:4]
    model = Ease(2.0, most_items=4)
    model.fit(train)
    scores = model.scores(np.array([0]))
    assert np.flatnonzero(np.isfinite(scores[0])).tolist() == sorted(most.tolist())
    assert len(model.similar(int(np.setdiff1d(np.arange(10), most)[0]), 3)[0]) == 0


def test_cosine_neighbours_are_those_of_the_definition() -> None:
    train = two_tastes()
    dense = train.weights.toarray()
    unit = dense / np.maximum(np.linalg.norm(dense, axis=0), 1e-12)
    cosine = unit.T @ unit
    model = Neighbours("cosine", neighbours=10)
    model.fit(train)
    found = model.scores(np.arange(40))
    np.testing.assert_allclose(found, dense @ cosine, rtol=1e-4, atol=1e-5)


def test_the_mean_of_neighbours_is_that_of_their_weights() -> None:
    dense = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]], np.float32)
    names = pa.array(["a", "b", "c", "d"])
    weights = sp.csr_matrix(dense)
    model = NeighbourMean(neighbours=2)
    model.fit(Interactions(names, names, weights, weights.astype(bool)))
    # Items 0 and 1 have the same listeners: cosine 1. Item 2 shares one of 2 and 3: 1 / sqrt(6).
    # The mean weights are 1/2, 1/2 and 3/4.
    share = (1 / np.sqrt(6)) / (1 + 1 / np.sqrt(6))
    of_first = 1 / 2 + (1 - share) * (1 - 1 / 2) + share * (0 - 3 / 4)
    found = model.scores(np.array([0, 2]))
    assert found[0].tolist() == [
        pytest.approx(of_first),
        pytest.approx(of_first),
        pytest.approx(3 / 4 + (1 - 1 / 2)),
        -np.inf,
    ]
    of_third = 1 / 2 + (1 - share) * (0 - 1 / 2) + share * (1 - 3 / 4)
    assert found[1, 0] == pytest.approx(of_third)


@pytest.mark.parametrize("scaled", [True, False])
def test_the_half_step_minimises_the_objective_of_its_paper(scaled: bool) -> None:
    draws = np.random.default_rng(1)
    factors = draws.normal(size=(30, 5)).astype(np.float32)
    weights = np.zeros((1, 30), np.float32)
    weights[0, [2, 11, 17]] = [0.5, 2.0, 1.0]
    step = HalfStep.of(factors, alpha=8.0, regularization=0.3, scaled=scaled)
    found = step.solve(sp.csr_matrix(weights))[0].astype(np.float64)
    confidence = 1 + 8.0 * weights[0]
    preference = (weights[0] > 0).astype(np.float64)
    penalty = 0.3 * (3 if scaled else 1)

    def loss(x: np.ndarray) -> float:
        errors = preference - factors.astype(np.float64) @ x
        return float((confidence * errors**2).sum() + penalty * (x**2).sum())

    gradient = [
        (loss(found + 1e-4 * axis) - loss(found - 1e-4 * axis)) / 2e-4 for axis in np.eye(5)
    ]
    np.testing.assert_allclose(gradient, 0, atol=1e-3)


def test_who_has_nothing_is_folded_to_nothing() -> None:
    step = HalfStep.of(np.ones((3, 2), np.float32), alpha=1.0, regularization=0.1, scaled=True)
    assert step.solve(sp.csr_matrix((2, 3), dtype=np.float32)).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_factors_that_are_no_numbers_are_refused(bad: float) -> None:
    def diverged(weights: sp.csr_matrix, parameters: AlsParameters) -> tuple[np.ndarray, ...]:
        rank = parameters.rank
        users, items = (np.ones((size, rank), np.float32) for size in weights.shape)
        items[0, 0] = bad
        return users, items

    engine = Engine("diverged", diverged, scaled=True)  # type: ignore[arg-type]
    with pytest.raises(EncoreError, match=r"diverged did not converge.*ALS_REGULARIZATION"):
        Factors(engine, PARAMETERS).fit(two_tastes())
    with pytest.raises(EncoreError, match="not finite"):
        HalfStep.of(np.full((3, 2), bad), alpha=1.0, regularization=0.1, scaled=True)
    step = HalfStep.of(np.ones((3, 2), np.float32), alpha=1.0, regularization=0.1, scaled=True)
    with pytest.raises(EncoreError, match="no finite number"):
        step.solve(sp.csr_matrix(([bad], ([0], [1])), (1, 3), np.float32))
