"""Which valid events are repeats: the rule for duplicates, folded over an id's arrivals."""

from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

_STATE = "struct<last: bigint, dropped: array<bigint>>"


def repeats(valid: DataFrame, horizon: timedelta) -> DataFrame:
    """Return partition and offset of the records that are duplicates.

    In the order of offsets, a valid record is a duplicate if the last accepted one with its
    ``event_id`` in its partition arrived at most the horizon before it. ``valid`` has
    ``partition``, ``offset``, ``arrived_at`` and ``event_id``, and no rejected record. Only the
    ids that occur more than once are gathered.
    """
    by = Window.partitionBy("partition", "id")
    return (
        valid.select(
            "partition",
            F.unhex(F.translate("event_id", "-", "")).alias("id"),  # 16 bytes, of either case
            F.struct("offset", F.unix_millis("arrived_at").alias("at")).alias("arrival"),
        )
        .withColumn("times", F.count(F.lit(1)).over(by))
        .filter("times > 1")
        .groupBy("partition", "id")
        .agg(F.sort_array(F.collect_list("arrival")).alias("arrivals"))
        .select("partition", F.explode(_dropped(horizon)).alias("offset"))
    )


def _dropped(horizon: timedelta) -> Column:
    """Return the offsets of the arrivals that are dropped, from arrivals in their order."""
    horizon_ms = round(horizon.total_seconds() * 1000)
    nothing = F.struct(
        F.lit(None).cast("bigint").alias("last"),
        F.array().cast("array<bigint>").alias("dropped"),
    )

    def fold(state: Column, arrival: Column) -> Column:
        repeated = state["last"].isNotNull() & (arrival["at"] - state["last"] <= horizon_ms)
        dropped = F.concat(state["dropped"], F.array(arrival["offset"]))
        return F.struct(
            F.when(repeated, state["last"]).otherwise(arrival["at"]).alias("last"),
            F.when(repeated, dropped).otherwise(state["dropped"]).alias("dropped"),
        ).cast(_STATE)

    return F.aggregate("arrivals", nothing.cast(_STATE), fold, lambda state: state["dropped"])
