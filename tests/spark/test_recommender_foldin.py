"""Folding a listener in is the half-step that MLlib itself makes last."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from pyspark.sql import SparkSession

from recommender.als import AlsParameters
from recommender.interactions import Interactions
from recommender.models.factors import MLLIB, Factors

pytestmark = pytest.mark.spark

PARAMETERS = AlsParameters(rank=8, iterations=5, regularization=0.05, alpha=12.0, seed=11, blocks=2)


def listened() -> Interactions:
    """Three hundred listeners of sixty items, in three tastes, with weights of 0.1 to 5 plays."""
    draws = np.random.default_rng(5)
    taste = draws.integers(0, 3, 300)
    likes = np.where(np.arange(60)[None, :] // 20 == taste[:, None], 0.3, 0.03)
    dense = np.where(draws.random((300, 60)) < likes, draws.uniform(0.1, 5.0, (300, 60)), 0.0)
    weights = sp.csr_matrix(dense.astype(np.float32))
    names = pa.array([f"n{n:03}" for n in range(300)])
    return Interactions(names, names[:60], weights, weights.astype(bool))


@pytest.fixture(scope="module")
def model(spark: SparkSession) -> Factors:  # the session that the model trains in
    fitted = Factors(MLLIB, PARAMETERS)
    fitted.fit(listened())
    return fitted


def test_a_folded_listener_is_mllibs_own(model: Factors) -> None:
    train = listened()
    active = np.flatnonzero(np.diff(train.weights.indptr))
    folded = model.half_step.solve(train.weights)[active]
    fitted = model.users[active]
    lengths = np.linalg.norm(folded, axis=1) * np.linalg.norm(fitted, axis=1)
    cosine = (folded * fitted).sum(axis=1) / lengths
    assert cosine.min() > 0.999
    np.testing.assert_allclose(folded, fitted, rtol=0.01, atol=0.002)


def test_a_listener_who_listens_on_moves_towards_it(model: Factors) -> None:
    train = listened()
    user = int(np.flatnonzero(np.asarray((train.weights[:, :20] > 0).sum(axis=1)).ravel() >= 5)[0])
    more = train.weights[[user]].tolil()
    before = model.fold_in(train.weights[[user]])
    more[0, [45, 46, 47]] = 3.0
    after = model.fold_in(sp.csr_matrix(more))
    assert after[0, 48:60].mean() > before[0, 48:60].mean()
