"""Reading a topic of Kafka."""

import json
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F


def read_topic(
    spark: SparkSession,
    bootstrap: str,
    topic: str,
    starting_offsets: Mapping[int, int],
    max_offsets_per_trigger: int,
) -> DataFrame:
    """Return the stream of a topic: key, value (binary), partition, offset, arrived_ms.

    Offsets that Kafka no longer has end the query instead of being skipped. What a Kafka
    transaction aborted is not read.
    """
    return (
        spark.readStream.format("kafka")
        .options(**_of_topic(bootstrap, topic))
        .option("startingOffsets", json.dumps({topic: as_text(starting_offsets)}))
        .option("maxOffsetsPerTrigger", max_offsets_per_trigger)
        .load()
        .select(*_columns())
    )


def read_range(
    spark: SparkSession,
    bootstrap: str,
    topic: str,
    begin: Mapping[int, int],
    end: Mapping[int, int],
) -> DataFrame:
    """Return the records of a topic from the offsets ``begin`` to before ``end``, columns alike."""
    return (
        spark.read.format("kafka")
        .options(**_of_topic(bootstrap, topic))
        .option("startingOffsets", json.dumps({topic: as_text(begin)}))
        .option("endingOffsets", json.dumps({topic: as_text(end)}))
        .load()
        .select(*_columns())
    )


def _of_topic(bootstrap: str, topic: str) -> dict[str, str]:
    return {
        "kafka.bootstrap.servers": bootstrap,
        "subscribe": topic,
        "failOnDataLoss": "true",
        "kafka.isolation.level": "read_committed",
    }


def _columns() -> list[Column]:
    arrived = F.unix_millis("timestamp").alias("arrived_ms")
    return [*(F.col(name) for name in ("key", "value", "partition", "offset")), arrived]


def as_text(offsets: Mapping[int, int]) -> dict[str, int]:
    """Return offsets by partition as JSON has them."""
    return {str(partition): offset for partition, offset in sorted(offsets.items())}
