"""The rules of an event beyond its single fields, on one record: its type's, and the future."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from encore.events import EVENT_FIELDS, EVENT_TYPES, Reason
from encore.judge import Breach, Judge


@dataclass(frozen=True, slots=True)
class RequiredByType:
    """A field that some types of event cannot do without."""

    field: str
    types: tuple[str, ...]

    def judge(self, record: Mapping[str, Any], arrived_ms: int) -> Breach | None:  # noqa: ARG002
        """Return that the field is missing, or None."""
        missing = record[self.field] is None and record["event_type"] in self.types
        return Breach(Reason.MISSING, self.field) if missing else None


@dataclass(frozen=True, slots=True)
class NotInTheFuture:
    """An event happens before it arrives, but for clocks that disagree."""

    tolerance_ms: int

    def judge(self, record: Mapping[str, Any], arrived_ms: int) -> Breach | None:
        """Return that the event lies in the future, or None."""
        ahead = record["event_ts"] - arrived_ms > self.tolerance_ms
        return Breach(Reason.IN_THE_FUTURE, "event_ts") if ahead else None


def required_by_type() -> Sequence[RequiredByType]:
    """Return what the types of event require, in the order in which it is judged."""
    names = dict.fromkeys(name for one in EVENT_TYPES for name in one.requires)
    return [
        RequiredByType(name, tuple(one.name for one in EVENT_TYPES if name in one.requires))
        for name in names
    ]


def event_judge(future_tolerance_ms: int) -> Judge:
    """Return what holds one event to the whole contract, as the stream does."""
    rules = [rule.judge for rule in required_by_type()]
    return Judge(EVENT_FIELDS, [*rules, NotInTheFuture(future_tolerance_ms).judge])
