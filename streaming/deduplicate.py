"""Drop repeated events by ``event_id`` within a horizon of arrival time."""

from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# How far the driver's clock may step back between two micro-batches without a row being late.
_CLOCK_SLACK = timedelta(seconds=60)


def drop_duplicates(checked: DataFrame, horizon: timedelta) -> DataFrame:
    """Keep the first of the records with one ``event_id``; rejected records all stay.

    Spark drops what is older than the watermark, and partitions that are read at different
    speed would lose events that way. So the watermark runs in the arrival time, held within one
    horizon of the micro-batch's own time: no row can be late, and an id is remembered for at
    least one horizon after it arrived, as long as a backlog is worked off within half a horizon
    (after a longer absence the job starts with a state refilled from Kafka, see
    streaming.startup).
    """
    seconds = int(horizon.total_seconds())
    return (
        checked.withColumn("duplicate_key", _key())
        .withColumn("seen_at", _seen_at(horizon))
        .withWatermark("seen_at", f"{seconds} seconds")
        .dropDuplicatesWithinWatermark(["duplicate_key"])
        .drop("duplicate_key", "seen_at")
    )


def _key() -> Column:
    """Return the 16 bytes of the UUID; a rejected record's key is its place, which is unique."""
    uuid = F.unhex(F.translate("event_id", "-", ""))
    place = F.concat_ws("/", "partition", "offset").cast("binary")
    return F.when(F.col("reason").isNull(), uuid).otherwise(place)


def _seen_at(horizon: timedelta) -> Column:
    now = F.current_timestamp()
    oldest = now - F.expr(f"INTERVAL {(horizon - _CLOCK_SLACK).total_seconds():.0f} SECONDS")
    return F.greatest(F.least("arrived_at", now), oldest)
