"""Fit the model twice: on the past, to see how good it is, and on everything, to publish it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recommender.als import AlsParameters, Model, fit
from recommender.dataset import Summary
from recommender.evaluate import evaluate
from recommender.metrics import NDCG
from recommender.split import Decay, before, everything, ratings
from recommender.topk import Popularity, Scorer


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model of everything, and the users it has factors for with all they know."""

    model: Model
    users: DataFrame


def measure(
    spark: SparkSession,
    numbered: DataFrame,
    summary: Summary,
    items: int,
    parameters: AlsParameters,
) -> dict[str, Any]:
    """Return the quality of ALS and of popularity on the newest part of the data, fit for JSON.

    Tested are users with something before the split to know them by and something after it.
    """
    decay = Decay(summary.split_s, summary.half_life_s)
    view = before(numbered, decay).persist()
    training = ratings(view).persist()
    model = fit(training, items, parameters)
    scorers: Mapping[str, Scorer] = {
        "als": model.items,
        "popularity": Popularity(item_counts(training, items)),
    }
    tested = with_factors(view.where(F.size("relevant") > 0), model)
    shared = spark.sparkContext.broadcast(scorers)
    users, quality = evaluate(tested, shared, items)
    pairs = training.count()
    for one in (shared, training, view):
        one.unpersist()
    return {
        **quality,
        "test_users": users,
        "training_pairs": pairs,
        "test_pairs": summary.positive - pairs,
        "split_at_s": summary.split_s,
    }


def train(numbered: DataFrame, summary: Summary, items: int, parameters: AlsParameters) -> Fitted:
    """Fit the model to everything there is, at the strength it has as of the newest event."""
    view = everything(numbered, Decay(summary.now_s, summary.half_life_s))
    model = fit(ratings(view), items, parameters)
    return Fitted(model, with_factors(view, model))


def with_factors(view: DataFrame, model: Model) -> DataFrame:
    """Return the users of a view for whom the model has factors, with their features."""
    factors = model.users.select(F.col("id").alias("user"), "features")
    return view.join(factors, on="user", how="inner")


def item_counts(training: DataFrame, items: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return how many users have each item in the training part, by item number."""
    counts = np.zeros(items, np.int64)
    table = training.groupBy("item").count().toArrow()
    counts[table.column("item").to_numpy()] = table.column("count").to_numpy()
    return counts


def verdict(metrics: Mapping[str, Any]) -> str | None:
    """Return a warning where the model is no better than popularity, or could not be tested."""
    if not metrics["test_users"]:
        return "the model could not be tested: no listener is on both sides of the split in time"
    als, popularity = metrics["als"][NDCG], metrics["popularity"][NDCG]
    if als > popularity:
        return None
    return f"the model does not beat popularity: {NDCG} {als:.4f} against {popularity:.4f}"
