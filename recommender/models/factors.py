"""Matrix factorisation of implicit feedback, by two engines that solve the same problem."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from encore.errors import EncoreError
from recommender.als import AlsParameters
from recommender.foldin import HalfStep
from recommender.interactions import Indexes, Interactions
from recommender.models.contract import best
from recommender.topk import Floats


@dataclass(frozen=True)
class Engine:
    """What factorises weights (listeners, items): returns listener and item factors.

    ``scaled`` tells whether it scales the regularisation by how many items a listener has.
    """

    name: str
    factorise: Callable[[sp.csr_matrix, AlsParameters], tuple[Floats, Floats]]
    scaled: bool


class Factors:
    """Score by the product of listener and item factors.

    With ``fold`` every listener is solved for anew from the item factors, as between two runs.
    """

    def __init__(self, engine: Engine, parameters: AlsParameters, *, fold: bool = False) -> None:
        """Take an engine and the parameters of the factorisation."""
        self._engine = engine
        self._parameters = parameters
        self._fold = fold

    @property
    def name(self) -> str:
        """Name the model."""
        return f"{self._engine.name}-folded" if self._fold else self._engine.name

    def fit(self, train: Interactions) -> None:
        """Factorise.

        Raises:
            EncoreError: the factors are not finite numbers.
        """
        self._train = train
        self.users, self.items = self._engine.factorise(train.weights, self._parameters)
        if not (np.isfinite(self.users).all() and np.isfinite(self.items).all()):
            raise EncoreError(
                f"{self.name} did not converge: factors are not finite. Raise "
                "ALS_REGULARIZATION, or lower ALS_ALPHA."
            )
        self._trained = np.diff(train.weights.tocsc().indptr) > 0
        self.half_step = HalfStep.of(
            self.items,
            alpha=self._parameters.alpha,
            regularization=self._parameters.regularization,
            scaled=self._engine.scaled,
        )

    def scores(self, users: Indexes) -> Floats:
        """Return predicted preferences; of items that nobody had, minus infinity."""
        if self._fold:
            return self.fold_in(self._train.weights[users])
        return self._of(self.users[users])

    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Return predicted preferences of listeners solved for with the items held fixed."""
        with threadpool_limits(1):  # one small solve after another: threads only get in the way
            factors = self.half_step.solve(weights)
        return self._of(factors)

    def similar(self, item: int, k: int) -> tuple[Indexes, Floats]:
        """Return the items at the smallest angle."""
        lengths = np.linalg.norm(self.items, axis=1)
        cosine = (self.items @ self.items[item]) / np.maximum(lengths * lengths[item], 1e-12)
        return best(np.where(self._trained, cosine, -np.inf), item, k)

    def _of(self, factors: Floats) -> Floats:
        scores: Floats = factors @ self.items.T
        scores[:, ~self._trained] = -np.inf
        return scores


def _by_implicit(weights: sp.csr_matrix, parameters: AlsParameters) -> tuple[Floats, Floats]:
    """Factorise on this machine alone, by conjugate gradients (the package ``implicit``).

    Takacs, Pilaszy and Tikk, "Applications of the Conjugate Gradient Method for Implicit Feedback
    Collaborative Filtering" (RecSys 2011). The regularisation is not scaled by activity here, as
    it is in MLlib.
    """
    confidence = weights.astype(np.float32)
    confidence.data = 1 + parameters.alpha * confidence.data
    with threadpool_limits(1, "blas"):  # it has threads of its own
        model = AlternatingLeastSquares(
            factors=parameters.rank,
            regularization=parameters.regularization,
            alpha=1.0,
            iterations=parameters.iterations,
            random_state=parameters.seed,
            num_threads=0,
        )
        model.fit(confidence, show_progress=False)
    return model.user_factors, model.item_factors


def _by_mllib(weights: sp.csr_matrix, parameters: AlsParameters) -> tuple[Floats, Floats]:
    """Factorise with MLlib, in the Spark session that there is."""
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from recommender.als import fit, gather

    pairs = weights.tocoo()
    table = pa.table(
        {
            "user": pa.array(pairs.row, pa.int32()),
            "item": pa.array(pairs.col, pa.int32()),
            "rating": pa.array(pairs.data, pa.float32()),
        }
    )
    spark = SparkSession.getActiveSession()
    if spark is None:
        raise EncoreError("there is no Spark session to train in")
    model = fit(spark.createDataFrame(table), weights.shape[1], parameters)
    users = gather(model.users, weights.shape[0], parameters.rank)
    return users.factors, model.items.factors


IMPLICIT = Engine("als-implicit", _by_implicit, scaled=False)
MLLIB = Engine("als-mllib", _by_mllib, scaled=True)
