"""One record held to the contract, rule by rule, to name the first that it breaks."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from encore.events import MAX_RECORD_BYTES, Field, Kind, Reason

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a record is rejected, and the field that it is about, if there is one."""

    reason: Reason
    field: str | None = None


class BreachError(Exception):
    """A record breaks the contract."""

    def __init__(self, reason: Reason, field: str | None = None) -> None:
        """Take the reason and the field."""
        super().__init__(reason, field)
        self.breach = Breach(reason, field)


class Judge:
    """Holds records to the declared fields and to rules beyond them."""

    def __init__(
        self, fields: Sequence[Field], rules: Sequence[Callable[[Record, int], Breach | None]] = ()
    ) -> None:
        """Take the fields in the order in which they are checked."""
        self._fields = fields
        self._rules = rules
        self._patterns = {one.name: re.compile(one.pattern) for one in fields if one.pattern}

    def judge(self, value: bytes | None, arrived_ms: int) -> dict[str, Any]:
        """Return the declared fields of a record, None where not given.

        The order of the rules is bytes, JSON, types, fields, rules beyond them.

        Raises:
            BreachError: the first rule that the record breaks.
        """
        members = _members(value)
        record = {field.name: _typed(field, members.get(field.name)) for field in self._fields}
        for field in self._fields:
            self._check(field, record[field.name])
        self.check_rules(record, arrived_ms)
        return record

    def check_rules(self, record: Record, arrived_ms: int) -> None:
        """Hold a record whose fields keep the contract to the rules beyond them.

        Raises:
            BreachError: the first rule that the record breaks.
        """
        for rule in self._rules:
            breach = rule(record, arrived_ms)
            if breach:
                raise BreachError(breach.reason, breach.field)

    def _check(self, field: Field, value: Any) -> None:
        if value is None or value == "":
            if field.required:
                raise BreachError(Reason.MISSING, field.name)
            if value is None:
                return
        if field.kind in (Kind.INTEGER, Kind.NUMBER):
            _check_bounds(field, value)
        else:
            self._check_text(field, value)

    def _check_text(self, field: Field, value: Any) -> None:
        texts = [value] if field.kind is Kind.TEXT else [one for one in value if one is not None]
        if any(len(text) > field.max_length for text in texts):
            raise BreachError(Reason.TOO_LONG, field.name)
        if any("\x00" in text for text in texts):
            raise BreachError(Reason.FORBIDDEN_CHARACTER, field.name)
        pattern = self._patterns.get(field.name)
        if pattern and not all(pattern.search(text) for text in texts):
            raise BreachError(Reason.NOT_ALLOWED, field.name)
        if field.choices and not all(text in field.choices for text in texts):
            raise BreachError(Reason.NOT_ALLOWED, field.name)


def _members(value: bytes | None) -> dict[str, msgspec.Raw]:
    if not value:
        raise BreachError(Reason.EMPTY)
    if len(value) > MAX_RECORD_BYTES:
        raise BreachError(Reason.TOO_LARGE)
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        raise BreachError(Reason.INVALID_UTF8) from None
    try:
        return msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BreachError(Reason.MALFORMED_JSON) from None


def _typed(field: Field, raw: msgspec.Raw | None) -> Any:
    if raw is None or bytes(raw) == b"null":
        return None
    try:
        return _READERS[field.kind](bytes(raw))
    except msgspec.ValidationError:
        raise BreachError(Reason.WRONG_TYPE, field.name) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BreachError(Reason.MALFORMED_JSON) from None


def _integer(raw: bytes) -> int:
    value = msgspec.json.decode(raw, type=int)
    if not INT64_MIN <= value <= INT64_MAX:
        raise msgspec.ValidationError
    return value


def _number(raw: bytes) -> float:
    return msgspec.json.decode(raw, type=float)


def _text(raw: bytes) -> str:
    # Text given as another JSON type is read as its JSON text.
    if raw.startswith(b'"'):
        return msgspec.json.decode(raw, type=str)
    return raw.decode("utf-8")


def _texts(raw: bytes) -> list[str | None]:
    parts = msgspec.json.decode(raw, type=list[msgspec.Raw])
    return [None if bytes(part) == b"null" else _text(bytes(part)) for part in parts]


_READERS: Mapping[Kind, Callable[[bytes], Any]] = {
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.TEXT: _text,
    Kind.TEXTS: _texts,
}


def _check_bounds(field: Field, value: float) -> None:
    below = field.minimum is not None and value < field.minimum
    above = field.maximum is not None and value > field.maximum
    if below or above:
        raise BreachError(Reason.OUT_OF_RANGE, field.name)
