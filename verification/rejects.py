"""What ``rejected_events`` must hold: the records that break the contract, at their place."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from verification.compare import Check
from verification.entities import JudgedEntities

REJECTED = Check(
    "rejected_events",
    ("topic", "topic_id", "partition", "offset"),
    ("reason", "field", "key", "raw", "arrived_at"),
)


def expected_rejects(rejected: DataFrame, topic: str, topic_id: str) -> DataFrame:
    """Return the rows of a topic's rejected records; key and value by their SHA-256."""
    return rejected.select(
        F.lit(topic).alias("topic"),
        F.lit(topic_id).alias("topic_id"),
        "partition",
        "offset",
        "reason",
        "field",
        F.sha2("key", 256).alias("key"),
        F.sha2("value", 256).alias("raw"),
        "arrived_at",
    )


def unsure_rejects(stored: DataFrame, topic: str, judged: JudgedEntities) -> DataFrame:
    """Return the places of rows whose record Kafka has thrown away for a newer one of its key."""
    places = stored.filter(F.col("topic") == topic).select("topic", "partition", "offset")
    return places.join(
        judged.records.select("partition", "offset"), ["partition", "offset"], "left_anti"
    ).select("topic", "partition", "offset")
