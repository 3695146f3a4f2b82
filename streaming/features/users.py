"""Features of users: activity by day, affinity to items, sessions."""

from collections.abc import Sequence
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streaming.features.decay import Span, decayed_sum
from streaming.features.signal import LISTENING, on_items, sums


def user_counts_day(events: DataFrame) -> DataFrame:
    """Count activity by user and day (UTC)."""
    return (
        events.groupBy("user_id", F.to_date("event_at").alias("day"))
        .agg(
            F.count(F.lit(1)).alias("events"),
            *sums(*LISTENING),
            F.min("event_at").alias("first_at"),
            F.max("event_at").alias("last_at"),
        )
        .select("user_id", "day", "events", *LISTENING, "first_at", "last_at")
    )


def user_item_affinity(
    events: DataFrame, half_life: timedelta, within: Sequence[Span]
) -> DataFrame:
    """Sum what a user gave an item: the decayed signal and the counts behind it."""
    return (
        on_items(events)
        .groupBy("user_id", "item_id")
        .agg(
            decayed_sum("signal", "event_at", half_life, within).alias("signal"),
            *sums(*LISTENING),
            F.min("event_at").alias("first_at"),
            F.max("event_at").alias("last_at"),
        )
        .select("user_id", "item_id", "signal", *LISTENING, "first_at", "last_at")
    )


def session_counts(events: DataFrame) -> DataFrame:
    """Count what happened in each session, from its first to its last event so far."""
    logout = F.when(F.col("event_type") == "logout", F.col("event_at"))
    counted = ("plays", "completes", "skips", "ms_played")
    return (
        events.filter(F.col("session_id").isNotNull())
        .groupBy("user_id", "session_id")
        .agg(
            F.count(F.lit(1)).alias("events"),
            *sums(*counted),
            F.min("event_at").alias("started_at"),
            F.max("event_at").alias("last_event_at"),
            F.max(logout).alias("logged_out_at"),
        )
        .select(
            "user_id",
            "session_id",
            "events",
            *counted,
            "started_at",
            "last_event_at",
            "logged_out_at",
        )
    )
