"""The rules of an event beyond its single fields, on whole columns."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from encore import event_rules as on_records
from streaming.records import Rule


class RequiredByType(on_records.RequiredByType):
    """A field that some types of event cannot do without."""

    __slots__ = ()

    def broken(self, columns: pa.Table) -> pa.Array:
        """Return which rows lack the field though their type requires it."""
        lacks = pc.is_null(columns.column(self.field))
        return pc.and_(lacks, pc.is_in(columns.column("event_type"), pa.array(self.types)))


class NotInTheFuture(on_records.NotInTheFuture):
    """An event happens before it arrives, but for clocks that disagree."""

    __slots__ = ()

    def broken(self, columns: pa.Table) -> pa.Array:
        """Return which rows lie further ahead of their arrival than is tolerated."""
        ahead = pc.subtract(columns.column("event_ts"), columns.column("arrived_ms"))
        return pc.greater(ahead, self.tolerance_ms)


def event_rules(future_tolerance_ms: int) -> Sequence[Rule]:
    """Return the rules of events, in the order in which they are judged."""
    required = [RequiredByType(one.field, one.types) for one in on_records.required_by_type()]
    return [*required, NotInTheFuture(future_tolerance_ms)]
