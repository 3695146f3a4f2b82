"""The rules of an event beyond its single fields: what its type requires, and the future."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from encore.events import EVENT_TYPES, Reason
from streaming.judge import Breach
from streaming.records import Rule


@dataclass(frozen=True, slots=True)
class RequiredByType:
    """A field that some types of event cannot do without."""

    field: str
    types: tuple[str, ...]

    def broken(self, columns: pa.Table) -> pa.Array:
        """Return which rows lack the field though their type requires it."""
        lacks = pc.is_null(columns.column(self.field))
        return pc.and_(lacks, pc.is_in(columns.column("event_type"), pa.array(self.types)))

    def judge(self, record: Mapping[str, Any], arrived_ms: int) -> Breach | None:  # noqa: ARG002
        """Return that the field is missing, or None."""
        missing = record[self.field] is None and record["event_type"] in self.types
        return Breach(Reason.MISSING, self.field) if missing else None


@dataclass(frozen=True, slots=True)
class NotInTheFuture:
    """An event happens before it arrives, but for clocks that disagree."""

    tolerance_ms: int

    def broken(self, columns: pa.Table) -> pa.Array:
        """Return which rows lie further ahead of their arrival than is tolerated."""
        ahead = pc.subtract(columns.column("event_ts"), columns.column("arrived_ms"))
        return pc.greater(ahead, self.tolerance_ms)

    def judge(self, record: Mapping[str, Any], arrived_ms: int) -> Breach | None:
        """Return that the event lies in the future, or None."""
        ahead = record["event_ts"] - arrived_ms > self.tolerance_ms
        return Breach(Reason.IN_THE_FUTURE, "event_ts") if ahead else None


def event_rules(future_tolerance_ms: int) -> Sequence[Rule]:
    """Return the rules of events, in the order in which they are judged."""
    names = dict.fromkeys(name for one in EVENT_TYPES for name in one.requires)
    required = [
        RequiredByType(name, tuple(one.name for one in EVENT_TYPES if name in one.requires))
        for name in names
    ]
    return [*required, NotInTheFuture(future_tolerance_ms)]
