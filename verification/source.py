"""Reading a topic between offsets, once."""

import json
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

Ranges = Mapping[int, tuple[int, int]]


def read_records(spark: SparkSession, bootstrap: str, topic: str, ranges: Ranges) -> DataFrame:
    """Return key, value (binary), partition, offset and arrived_at of a topic's records.

    ``ranges`` has, for each partition, the first offset and that after the last. Offsets that
    Kafka no longer has fail the read.
    """
    return (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap)
        .option("assign", json.dumps({topic: sorted(ranges)}))
        .option("startingOffsets", json.dumps({topic: {n: one[0] for n, one in ranges.items()}}))
        .option("endingOffsets", json.dumps({topic: {n: one[1] for n, one in ranges.items()}}))
        .option("failOnDataLoss", "true")
        .option("kafka.isolation.level", "read_committed")
        .load()
        .select("key", "value", "partition", "offset", F.col("timestamp").alias("arrived_at"))
    )


def within(ranges: Ranges) -> Column:
    """Return whether a record lies in the range of its partition."""
    inside = F.lit(False)
    for partition, (first, end) in ranges.items():
        offset = F.col("offset")
        inside = inside | ((F.col("partition") == partition) & (offset >= first) & (offset < end))
    return inside
