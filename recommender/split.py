"""Listeners with their pairs as lists, as of now and as of the split.

What pairs weigh and which of them are tested on is said in :mod:`recommender.dataset`.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def everything(numbered: DataFrame) -> DataFrame:
    """Return user_id, user, known and weights: all pairs with an index, at full strength.

    ``known`` holds item indexes, ``weights`` goes with it: above 0 for positive pairs, else 0.
    """
    kept = F.filter("pairs", lambda pair: pair["item"] >= 0)
    return numbered.select(
        "user_id", "user", _each(kept, "item", "known"), _each(kept, "weight", "weights")
    )


def before(numbered: DataFrame) -> DataFrame:
    """Return what was there at the moment of the split, and as ``relevant`` the positives since."""
    kept = F.filter("pairs", lambda pair: (pair["item"] >= 0) & pair["past"].isNotNull())
    tested = F.filter("pairs", lambda pair: (pair["item"] >= 0) & pair["relevant"])
    return numbered.select(
        "user_id",
        "user",
        _each(kept, "item", "known"),
        _each(kept, "past", "weights"),
        _each(tested, "item", "relevant"),
    )


def ratings(view: DataFrame) -> DataFrame:
    """Return user, item and rating of the positive pairs of a view: what the model is fitted to."""
    pairs = F.arrays_zip("known", "weights")
    return (
        view.select("user", F.explode(pairs).alias("pair"))
        .where(F.col("pair.weights") > 0)
        .select(
            "user",
            F.col("pair.known").alias("item"),
            F.col("pair.weights").alias("rating"),
        )
    )


def _each(pairs: Column, name: str, alias: str) -> Column:
    return F.transform(pairs, lambda pair: pair[name]).alias(alias)
