"""What the model may learn from and what it is tested on, divided by time alone.

A positive pair is tested on when its first event is among the newest ``TRAIN_TEST_SHARE`` of
first events; everything that began before is trained on. The affinity table holds a running sum
for each pair, not its history, so of a pair that began before the split and went on after it only
the beginning is certain. Such a pair is trained on with no more than one complete play at its
first event, so no later play, like or playlist addition strengthens it. What cannot be taken back
is that it counts as positive (or disliked) as of now. The final model, trained on everything,
uses the full signals.
"""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


@dataclass(frozen=True, slots=True)
class Decay:
    """Signals are brought to one moment (s since 1970), halving in every half-life (s)."""

    moment_s: float
    half_life_s: float

    def at_moment(self, signal: Column, since_s: Column) -> Column:
        """Return a signal as of ``since_s`` decayed to the moment: signal * 2^(-age/half-life).

        One from after the moment (a clock that runs ahead) stays as it is.
        """
        age = F.greatest(F.lit(self.moment_s) - since_s, F.lit(0.0))
        return signal * F.pow(F.lit(2.0), -age / F.lit(self.half_life_s))


def everything(numbered: DataFrame, decay: Decay) -> DataFrame:
    """Return user_id, user, known and weights: all pairs with an index, at full strength.

    ``known`` holds item indexes, ``weights`` goes with it: above 0 for positive pairs, else 0.
    """
    kept = F.filter("pairs", lambda pair: pair["item"] >= 0)
    weights = F.transform(kept, lambda pair: _if_positive(pair, _full(pair, decay)))
    return numbered.select(
        "user_id",
        "user",
        _items(kept).alias("known"),
        weights.cast("array<float>").alias("weights"),
    )


def before(numbered: DataFrame, decay: Decay) -> DataFrame:
    """Return what was there at the decay's moment, and as ``relevant`` the positives after it."""
    split_s = F.lit(decay.moment_s)
    kept = F.filter("pairs", lambda pair: (pair["item"] >= 0) & (pair["first_s"] <= split_s))
    weights = F.transform(kept, lambda pair: _if_positive(pair, _until_split(pair, decay)))
    tested = F.filter("pairs", lambda pair: _positive(pair) & (pair["first_s"] > split_s))
    return numbered.select(
        "user_id",
        "user",
        _items(kept).alias("known"),
        weights.cast("array<float>").alias("weights"),
        _items(tested).alias("relevant"),
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


def _items(pairs: Column) -> Column:
    return F.transform(pairs, lambda pair: pair["item"])


def _positive(pair: Column) -> Column:
    return (pair["item"] >= 0) & (pair["signal"] > 0) & ~pair["disliked"]


def _if_positive(pair: Column, weight: Column) -> Column:
    return F.when(_positive(pair), weight).otherwise(F.lit(0.0))


def _full(pair: Column, decay: Decay) -> Column:
    return decay.at_moment(pair["signal"], pair["last_s"])


def _until_split(pair: Column, decay: Decay) -> Column:
    one_play = decay.at_moment(F.lit(1.0), pair["first_s"])
    went_on = pair["last_s"] > F.lit(decay.moment_s)
    return F.when(went_on, F.least(pair["signal"], one_play)).otherwise(_full(pair, decay))
