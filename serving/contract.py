"""The event contract as the API holds records to it, and as its OpenAPI document shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from encore.event_rules import event_judge
from encore.events import (
    EVENT_FIELDS,
    ITEM_FIELDS,
    MAX_RECORD_BYTES,
    USER_FIELDS,
    Field,
    Kind,
)
from encore.judge import BreachError, Judge
from encore.structs import DECODE_ERRORS, NUL, is_utf8, struct_of
from serving.bodies import JSON, NDJSON

_TYPES: Final = {Kind.TEXT: "string", Kind.INTEGER: "integer", Kind.NUMBER: "number"}


class Intake:
    """What one topic takes: its records' fields, the rules beyond them, the field that keys them.

    A record is decoded into a struct, and judged only where that fails: it may be good all the
    same (text given as another JSON type), or the judge says what is wrong.
    """

    def __init__(self, topic: str, key: str, fields: Sequence[Field], judge: Judge) -> None:
        """Take the declarations of the contract."""
        self.topic = topic
        self._key = key
        self._judge = judge
        self._decode = msgspec.json.Decoder(struct_of(fields)).decode

    def key_of(self, value: bytes, now_ms: int) -> bytes:
        """Return the key of a record that keeps the contract.

        Raises:
            BreachError: it does not.
        """
        record = self._decoded(value)
        if record is None:
            record = self._judge.judge(value, now_ms)
        else:
            self._judge.check_rules(record, now_ms)
        return str(record[self._key]).encode()

    def _decoded(self, value: bytes) -> dict[str, Any] | None:
        if len(value) > MAX_RECORD_BYTES or NUL in value or not (value.isascii() or is_utf8(value)):
            return None
        try:
            return msgspec.structs.asdict(self._decode(value))
        except DECODE_ERRORS:
            return None


@dataclass(frozen=True, slots=True)
class Taken:
    """Records that keep the contract, key and value, and what is wrong with the others."""

    records: Sequence[tuple[bytes, bytes]]
    errors: Sequence[dict[str, Any]]


def event_intake(topic: str, future_tolerance_ms: int) -> Intake:
    """Return what the events topic takes, by the rules of the stream."""
    return Intake(topic, "user_id", EVENT_FIELDS, event_judge(future_tolerance_ms))


def item_intake(topic: str) -> Intake:
    """Return what the items topic takes."""
    return Intake(topic, "item_id", ITEM_FIELDS, Judge(ITEM_FIELDS))


def user_intake(topic: str) -> Intake:
    """Return what the users topic takes."""
    return Intake(topic, "user_id", USER_FIELDS, Judge(USER_FIELDS))


def take(intake: Intake, values: Sequence[bytes], now_ms: int) -> Taken:
    """Tell records that keep the contract from those that break it, by their positions."""
    records: list[tuple[bytes, bytes]] = []
    errors: list[dict[str, Any]] = []
    for position, value in enumerate(values):
        try:
            records.append((intake.key_of(value, now_ms), value))
        except BreachError as error:
            breach = error.breach
            errors.append(
                {"position": position, "reason": breach.reason.value, "field": breach.field}
            )
    return Taken(records, errors)


def _property(field: Field) -> dict[str, Any]:
    unit = f" ({field.unit})" if field.unit else ""
    if field.kind is Kind.TEXTS:
        text = {"type": "string", "maxLength": field.max_length}
        return {"type": "array", "items": text, "description": field.doc}
    shown: dict[str, Any] = {"type": _TYPES[field.kind], "description": f"{field.doc}{unit}"}
    if field.kind is Kind.TEXT:
        shown["maxLength"] = field.max_length
    for name, value in (
        ("minimum", field.minimum),
        ("maximum", field.maximum),
        ("pattern", field.pattern),
        ("enum", list(field.choices)),
    ):
        if value is not None and value != []:
            shown[name] = value
    return shown


def request_body(fields: Sequence[Field], example: dict[str, Any]) -> dict[str, Any]:
    """Return how OpenAPI shows a body of one record, of an array, or of one a line."""
    one = {
        "type": "object",
        "properties": {field.name: _property(field) for field in fields},
        "required": [field.name for field in fields if field.required],
    }
    several = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    return {
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": several, "example": example},
                NDJSON[0]: {"schema": {"type": "string"}},
            },
        }
    }


EVENT_BODY: Final = request_body(
    EVENT_FIELDS,
    {
        "event_id": "0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a11",
        "schema_version": 1,
        "event_type": "like",
        "event_ts": 1_780_000_000_000,
        "user_id": "u394",
        "item_id": "t42",
    },
)
ITEM_BODY: Final = request_body(
    ITEM_FIELDS,
    {"item_id": "t42", "schema_version": 1, "title": "Crimson Candles", "genres": ["Folk"]},
)
USER_BODY: Final = request_body(
    USER_FIELDS, {"user_id": "u394", "schema_version": 1, "country": "SE", "level": "free"}
)
