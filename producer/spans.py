"""Spans of time and moments, as people write them on the command line."""

import re
from datetime import UTC, datetime

from encore.errors import EncoreError

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def parse_span(text: str) -> int:
    """Return a span such as ``14d``, ``1h30m`` or ``0`` in milliseconds."""
    plain = text.strip().lower()
    if plain == "0":
        return 0
    parts = _SPAN.findall(plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise EncoreError(f"{text!r} is not a span of time: write it like 90s, 2m, 36h or 14d.")
    return round(sum(float(number) * _UNIT_MS[unit] for number, unit in parts))


def parse_moment(text: str, from_ms: int) -> int:
    """Return a moment in epoch milliseconds: ISO 8601, epoch milliseconds, or a span after
    ``from_ms``. A time without an offset is UTC.
    """
    if re.fullmatch(r"\d{12,13}", text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1000)
    try:
        return from_ms + parse_span(text)
    except EncoreError:
        raise EncoreError(
            f"{text!r} is not a moment: write 2026-05-01T12:00:00Z, epoch milliseconds, "
            "or a span such as 2m."
        ) from None


def iso(moment_ms: int) -> str:
    """Return epoch milliseconds as ISO 8601 in UTC."""
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
