"""Reading a topic of Kafka."""

import json
from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def read_topic(
    spark: SparkSession,
    bootstrap: str,
    topic: str,
    starting_offsets: Mapping[int, int],
    max_offsets_per_trigger: int,
) -> DataFrame:
    """Return the stream of a topic: key, value (binary), partition, offset, arrived_at.

    ``starting_offsets`` counts only for a query without a checkpoint. Offsets that Kafka no
    longer has end the query instead of being skipped.
    """
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap)
        .option("subscribe", topic)
        .option("startingOffsets", json.dumps({topic: _as_text(starting_offsets)}))
        .option("maxOffsetsPerTrigger", max_offsets_per_trigger)
        .option("failOnDataLoss", "true")
        .load()
        .select(
            "key",
            "value",
            "partition",
            "offset",
            F.col("timestamp").alias("arrived_at"),
        )
    )


def _as_text(offsets: Mapping[int, int]) -> dict[str, int]:
    return {str(partition): offset for partition, offset in offsets.items()}
