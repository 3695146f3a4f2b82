"""Matrix factorisation of implicit feedback with MLlib's alternating least squares.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008):
preference 1 for every rated pair, confidence 1 + alpha * rating.
"""

from dataclasses import asdict, dataclass

import numpy as np
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame

from encore.errors import EncoreError
from recommender.topk import Als

RATED = ("user", "item", "rating")


@dataclass(frozen=True, slots=True)
class AlsParameters:
    """What a fit depends on beside its data."""

    rank: int
    iterations: int
    regularization: float
    alpha: float
    seed: int
    blocks: int

    def as_dict(self) -> dict[str, int | float]:
        """Return the parameters by name, fit for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted model. ``users`` has id and features; item factors are small enough to gather."""

    users: DataFrame
    items: Als


def fit(ratings: DataFrame, items: int, parameters: AlsParameters) -> Model:
    """Factorise ratings of user and item numbers; items are numbered from 0 to ``items`` - 1.

    Raises:
        EncoreError: the factors are not finite numbers.
    """
    estimator = ALS(
        rank=parameters.rank,
        maxIter=parameters.iterations,
        regParam=parameters.regularization,
        numUserBlocks=parameters.blocks,
        numItemBlocks=parameters.blocks,
        implicitPrefs=True,
        alpha=parameters.alpha,
        userCol="user",
        itemCol="item",
        ratingCol="rating",
        seed=parameters.seed,
    )
    fitted = estimator.fit(ratings.select(*RATED))
    return Model(fitted.userFactors, gather(fitted.itemFactors, items, parameters.rank))


def gather(factors: DataFrame, rows: int, rank: int) -> Als:
    """Return the factors of items (or of users) as one matrix whose row is the number.

    Raises:
        EncoreError: a factor is not a finite number.
    """
    table = factors.select("id", "features").toArrow().combine_chunks()
    ids = table.column("id").to_numpy()
    values = table.column("features").combine_chunks().flatten().to_numpy()
    if not np.isfinite(values).all():
        raise EncoreError(
            "the model did not converge: factors are not finite. The published run stays. "
            "Raise ALS_REGULARIZATION, or lower ALS_ALPHA."
        )
    matrix = np.zeros((rows, rank), np.float32)
    trained = np.zeros(rows, np.bool_)
    matrix[ids] = values.reshape(len(ids), rank)
    trained[ids] = True
    return Als(matrix, trained)
