"""Features of the platform as a whole, by minute of event time."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_DIMENSIONS = ("country", "device", "level")


def _minute() -> Column:
    return F.date_trunc("minute", "event_at").alias("minute")


def platform_activity_minute(events: DataFrame) -> DataFrame:
    """Count events by minute, type, country, device and level; empty where not given."""
    given = [F.coalesce(name, F.lit("")).alias(name) for name in _DIMENSIONS]
    return (
        events.groupBy(_minute(), "event_type", *given)
        .agg(F.count(F.lit(1)).alias("events"))
        .select("minute", "event_type", *_DIMENSIONS, "events")
    )


def minute_users(events: DataFrame) -> DataFrame:
    """List who was active in which minute."""
    return events.select(_minute(), "user_id").distinct()
