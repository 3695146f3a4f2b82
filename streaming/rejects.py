"""Rejected records, kept as they were."""

from collections.abc import Sequence

import pyarrow as pa

from streaming.records import Rejected
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


def rejected_rows(rejected: Sequence[Rejected], topic: str, topic_id: str) -> pa.Table:
    """Return the rows of rejected records."""
    return pa.table(
        {
            "topic": pa.array([topic] * len(rejected)),
            "topic_id": pa.array([topic_id] * len(rejected)),
            "partition": pa.array([one.partition for one in rejected], pa.int32()),
            "offset": pa.array([one.offset for one in rejected], pa.int64()),
            "reason": pa.array([one.breach.reason.value for one in rejected], pa.string()),
            "field": pa.array([one.breach.field for one in rejected], pa.string()),
            "key": pa.array([one.key for one in rejected], pa.binary()),
            "raw": pa.array([one.value for one in rejected], pa.binary()),
            "arrived_at": pa.array([one.arrived_ms for one in rejected], pa.timestamp("ms", "UTC")),
        }
    )
