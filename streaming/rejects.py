"""Rejected records, kept as they were."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streaming.sink.merge import Scripted, Target

REJECTED = "rejected_events"
_COLUMNS = (
    "topic",
    "topic_id",
    "partition",
    "offset",
    "reason",
    "field",
    "key",
    "raw",
    "arrived_at",
)


def rejected_target() -> Target:
    """Return the table of rejected records: a record of a place in Kafka stands there once."""
    names = ", ".join(f'"{name}"' for name in _COLUMNS)
    insert = f"INSERT INTO {REJECTED} ({names}) SELECT {names} {{rows}} ON CONFLICT DO NOTHING"
    return Scripted(REJECTED, _COLUMNS, (insert,), like=REJECTED)


def rejected_rows(checked: DataFrame, topic: str, topic_id: str) -> DataFrame:
    """Return the rows of the records that have a reason."""
    return checked.filter(F.col("reason").isNotNull()).select(
        F.lit(topic).alias("topic"),
        F.lit(topic_id).alias("topic_id"),
        "partition",
        "offset",
        "reason",
        "field",
        _bytea("key").alias("key"),
        _bytea("value").alias("raw"),
        "arrived_at",
    )


def _bytea(name: str) -> Column:
    return F.concat(F.lit("\\x"), F.hex(name))
