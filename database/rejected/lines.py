"""Rejected records as lines of JSON: printed by ``list --json``, edited, read by ``replay``.

Bytes are text where they are valid UTF-8 (``key``, ``raw``), else base64 (``key_base64``,
``raw_base64``), so that every record comes back as it was.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from database.rejected.places import Place
from database.rejected.rows import Row
from encore.errors import EncoreError


@dataclass(frozen=True, slots=True)
class Given:
    """Bytes that a line gives, which may be None (NULL)."""

    value: bytes | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: a place, and the key and value that it gives, None where it does not."""

    number: int
    place: Place
    key: Given | None
    value: Given | None


def line_of(row: Row) -> str:
    """Return a row as one line of JSON, without its end."""
    place = row.place
    made: dict[str, Any] = {
        "topic": place.topic,
        "topic_id": place.topic_id,
        "partition": place.partition,
        "offset": place.offset,
        "reason": row.reason,
        "field": row.field,
        "arrived_at": row.arrived_at.isoformat(),
        "rejected_at": row.rejected_at.isoformat(),
        "replayed_at": row.replayed_at.isoformat() if row.replayed_at else None,
        "replayed_to": row.replayed_to,
    }
    return json.dumps(made | _bytes("key", row.key) | _bytes("raw", row.raw), ensure_ascii=False)


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a file, without empty ones.

    Raises:
        EncoreError: the file cannot be read, or a line is not one of ``list --json``.
    """
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield _parse(path, number, text)
    except OSError as error:
        raise EncoreError(f"{path} cannot be read: {error.strerror or error}.") from None


def _parse(path: Path, number: int, text: bytes) -> Line:
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
        return Line(number, _place(found), _given(found, "key"), _given(found, "raw"))
    except (ValueError, RecursionError, EncoreError) as error:
        raise EncoreError(
            f"{path}, line {number}: {error}. Nothing was sent. Lines are those of "
            "`encore rejected list --json`."
        ) from None


def _place(found: dict[str, Any]) -> Place:
    topic, topic_id = found.get("topic"), found.get("topic_id")
    numbers = [found.get("partition"), found.get("offset")]
    whole = [one for one in numbers if isinstance(one, int) and not isinstance(one, bool)]
    if not isinstance(topic, str) or not isinstance(topic_id, str | None) or len(whole) != 2:
        raise ValueError("it names no place by topic, partition and offset")
    return Place.of(topic, topic_id, *whole)


def _given(found: dict[str, Any], name: str) -> Given | None:
    coded = f"{name}_base64"
    if name in found and coded in found:
        raise ValueError(f"it has both {name} and {coded}")
    value = found.get(name, found.get(coded))
    if not isinstance(value, str | None):
        raise ValueError(f"its {name} is no text: write the record's JSON as a JSON text")
    if name in found:
        return Given(None if value is None else value.encode())
    return Given(_decoded(coded, value)) if coded in found else None


def _decoded(name: str, value: str | None) -> bytes | None:
    try:
        return None if value is None else base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError(f"its {name} is no base64") from None


def _bytes(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}
