"""The event contract as the API holds records to it, and as its OpenAPI document shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from encore.event_rules import event_judge
from encore.events import EVENT_FIELDS, ITEM_FIELDS, USER_FIELDS, Field, Kind
from encore.judge import BreachError, Judge
from serving.bodies import JSON, NDJSON

_TYPES: Final = {Kind.TEXT: "string", Kind.INTEGER: "integer", Kind.NUMBER: "number"}


@dataclass(frozen=True)
class Intake:
    """What one topic takes: its records' fields, who judges them, and the field that keys them."""

    topic: str
    key: str
    judge: Judge


@dataclass(frozen=True, slots=True)
class Taken:
    """Records that keep the contract, key and value, and what is wrong with the others."""

    records: Sequence[tuple[bytes, bytes]]
    errors: Sequence[dict[str, Any]]


def event_intake(topic: str, future_tolerance_ms: int) -> Intake:
    """Return what the events topic takes, by the rules of the stream."""
    return Intake(topic, "user_id", event_judge(future_tolerance_ms))


def item_intake(topic: str) -> Intake:
    """Return what the items topic takes."""
    return Intake(topic, "item_id", Judge(ITEM_FIELDS))


def user_intake(topic: str) -> Intake:
    """Return what the users topic takes."""
    return Intake(topic, "user_id", Judge(USER_FIELDS))


def take(intake: Intake, values: Sequence[bytes], now_ms: int) -> Taken:
    """Tell records that keep the contract from those that break it, by their positions."""
    records: list[tuple[bytes, bytes]] = []
    errors: list[dict[str, Any]] = []
    for position, value in enumerate(values):
        try:
            record = intake.judge.judge(value, now_ms)
        except BreachError as error:
            breach = error.breach
            errors.append(
                {"position": position, "reason": breach.reason.value, "field": breach.field}
            )
        else:
            records.append((record[intake.key].encode(), value))
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
