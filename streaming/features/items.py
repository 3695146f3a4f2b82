"""Features of items: activity by time, distinct listeners, trends."""

from collections.abc import Sequence
from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streaming.features.decay import Span, decayed_sum
from streaming.features.signal import LISTENING, on_items, sums

_FIVE_MINUTES_US = 300_000_000


def five_minutes() -> Column:
    """Return the start of the five minutes of an event."""
    micros = F.unix_micros("event_at")
    return F.timestamp_micros(micros - F.pmod(micros, F.lit(_FIVE_MINUTES_US)))


def hour() -> Column:
    """Return the start of the hour of an event."""
    return F.date_trunc("hour", "event_at")


def day() -> Column:
    """Return the start of the day (UTC) of an event."""
    return F.date_trunc("day", "event_at")


def item_counts(events: DataFrame, bucket: Column) -> DataFrame:
    """Count activity by item and bucket of event time."""
    return (
        on_items(events)
        .groupBy("item_id", bucket.alias("bucket_start"))
        .agg(*sums(*LISTENING))
        .select("item_id", "bucket_start", *LISTENING)
    )


def item_listeners(events: DataFrame) -> DataFrame:
    """List who played which item in which five minutes."""
    return (
        events.filter("plays = 1")
        .select("item_id", five_minutes().alias("bucket_start"), "user_id")
        .distinct()
    )


def item_trends(events: DataFrame, half_life: timedelta, within: Sequence[Span]) -> DataFrame:
    """Sum decayed signals by item: everywhere (country '') and in the country of the event."""
    countries = F.array_distinct(F.array(F.lit(""), F.coalesce("country", F.lit(""))))
    return (
        on_items(events)
        .filter("signal <> 0")
        .select("item_id", "signal", "event_at", F.explode(countries).alias("country"))
        .groupBy("country", "item_id")
        .agg(
            decayed_sum("signal", "event_at", half_life, within).alias("score"),
            F.max("event_at").alias("as_of"),
        )
        .select("country", "item_id", "score", "as_of")
    )
