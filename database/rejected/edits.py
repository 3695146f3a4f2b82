"""Changes to rejected records before they are sent again: fields that are set or dropped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from database.rejected.contract import fields_of
from encore.errors import EncoreError


class RefusedError(EncoreError):
    """A record must not be sent again as it is. ``args[0]`` says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Edits:
    """Fields of a record to set, as JSON values, and fields to leave out."""

    values: Mapping[str, Any] = field(default_factory=dict)
    drops: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, sets: Sequence[str], drops: Sequence[str]) -> "Edits":
        """Return the edits of texts such as ``level="free"``, and of names to drop.

        Raises:
            EncoreError: a text is no ``field=JSON``, or names a field twice.
        """
        values: dict[str, Any] = {}
        for text in sets:
            name, value = _assignment(text)
            if name in values or name in drops:
                raise EncoreError(f"--set {text!r}: {name} is set or dropped twice.")
            values[name] = value
        return cls(values, frozenset(drops))

    def __bool__(self) -> bool:
        return bool(self.values or self.drops)

    def check(self, topics: Sequence[str], records: int) -> None:
        """Refuse edits that cannot be meant for so many records of these topics.

        Raises:
            EncoreError: a topic has no such field, or all records would be one and the same.
        """
        for topic in topics:
            names = [one.name for one in fields_of(topic)]
            for name in self.values:
                if names and name not in names:
                    raise EncoreError(
                        f"set {name}: the contract of {topic} has no such field, it would be "
                        f"ignored. It has {', '.join(names)}."
                    )
        # The stream would count the first and drop all others as its repeats.
        if "event_id" in self.values and records > 1:
            raise EncoreError(
                f"setting event_id would make {records} records one event. Choose a single record, "
                "or give each its own id in a file: `encore rejected list --json`, then --from."
            )

    def apply(self, value: bytes) -> bytes:
        """Return the value with the edits; without any, its very bytes.

        Raises:
            RefusedError: there are edits, but the value is no JSON object.
        """
        if not self:
            return value
        found = json_object(value)
        if found is None:
            raise RefusedError("is no JSON object, so no field of it can be set or dropped")
        kept = {name: one for name, one in found.items() if name not in self.drops}
        return dumps({**kept, **self.values})


def json_object(value: bytes | None) -> dict[str, Any] | None:
    """Return the object that bytes are as JSON, or None where they are none."""
    try:
        found = parse_json((value or b"").decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def parse_json(text: str) -> Any:
    """Return the value of a JSON text. Integers keep every digit.

    Raises:
        ValueError: the text is no JSON.
    """
    return json.loads(text, parse_constant=_refuse_constant)


def dumps(value: Any) -> bytes:
    """Return a value as JSON in UTF-8."""
    compact = (",", ":")
    try:
        return json.dumps(value, ensure_ascii=False, separators=compact).encode()
    except UnicodeEncodeError:  # half of a surrogate pair: it stays the escape that it was
        return json.dumps(value, separators=compact).encode()


def _assignment(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    try:
        parsed = parse_json(value)
    except (ValueError, RecursionError):
        separator, parsed = "", None
    if not separator or not name.strip():
        raise EncoreError(
            f"--set {text!r} is no FIELD=JSON: write --set event_ts=1793534399000, "
            "or --set 'level=\"free\"' for a text."
        )
    return name.strip(), parsed


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
