"""What must have come of what was shown, from accepted events, as docs/tables.md defines it.

Every act is joined with every impression that it could belong to, over all events at once.
"""

from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from verification.compare import Check
from verification.features import Rules

_KEY: Final = ("hour", "model_run_id", "variant", "source", "position")
_OF_ACTS: Final = ("plays", "completes", "skips", "likes")
OUTCOMES: Final = Check("recommendation_outcomes", _KEY, ("impressions", *_OF_ACTS))
OF_OUTCOMES: Final = "event_type IN ('impression', 'listen', 'like')"
# What is needed of these events beside what every feature needs.
PLACED: Final = (
    "partition",
    "offset",
    "arrived_at",
    "position",
    "source",
    "model_run_id",
    "variant",
)
_WHO: Final = ("partition", "user_id", "item_id")


def expected_outcomes(shown: DataFrame, rules: Rules) -> DataFrame:
    """Count impressions, and the first play and the first like that belongs to each.

    ``shown`` has impressions, plays and likes, with the columns of :data:`PLACED`, and ``erased``:
    an impression of a listener who was deleted since is not there any more for what they do later.
    """
    impressions = shown.filter("event_type = 'impression'").select(
        *_WHO,
        F.col("offset").alias("shown_offset"),
        F.col("event_at").alias("shown_at"),
        F.col("arrived_at").alias("shown_arrived_at"),
        F.col("erased").alias("shown_erased"),
        F.date_trunc("hour", "event_at").alias("hour"),
        F.coalesce("model_run_id", F.lit(0)).alias("model_run_id"),
        F.coalesce("variant", F.lit("")).alias("variant"),
        "source",
        F.col("position").cast("int").alias("position"),
    )
    counted = impressions.select(*_KEY, F.lit(1).alias("impressions"), *map(_nothing, _OF_ACTS))
    credited = _credited(shown, impressions, rules)
    return (
        counted.unionByName(credited.select(*_KEY, _nothing("impressions"), *_OF_ACTS))
        .groupBy(*_KEY)
        .agg(*(F.sum(name).alias(name) for name in ("impressions", *_OF_ACTS)))
    )


def _credited(shown: DataFrame, impressions: DataFrame, rules: Rules) -> DataFrame:
    """Return the acts that count, each with the key of its impression."""
    acts = shown.filter("event_type <> 'impression'").select(
        *_WHO, "offset", "event_at", "arrived_at", "erased", "event_type", *_OF_ACTS
    )
    before_ms = _ms(F.col("event_at")) - _ms(F.col("shown_at"))
    arrived_ms = _ms(F.col("arrived_at")) - _ms(F.col("shown_arrived_at"))
    window_ms = round(rules.outcome_window.total_seconds() * 1000)
    kept_ms = round((rules.outcome_window + rules.outcome_lateness).total_seconds() * 1000)
    could = (
        acts.join(impressions, list(_WHO), "inner")
        .filter("shown_offset < offset AND (erased OR NOT shown_erased)")
        .filter((before_ms >= 0) & (before_ms < window_ms) & (arrived_ms <= kept_ms))
    )
    age = F.struct("shown_at", "shown_offset")
    act = F.struct("event_type", *_OF_ACTS)
    belonging = could.groupBy("partition", "offset").agg(
        F.max_by(F.struct("shown_offset", *_KEY), age).alias("impression"),
        F.first(act).alias("act"),
    )
    first = belonging.groupBy("partition", "impression", "act.event_type").agg(
        F.min_by("act", "offset").alias("act")
    )
    return first.select("impression.*", "act.*")


def _nothing(name: str) -> Column:
    return F.lit(0).alias(name)


def _ms(at: Column) -> Column:
    return F.unix_millis(at)
