"""Spans and moments of the command line, in milliseconds."""

import re
from datetime import UTC, datetime, timedelta

from encore.errors import EncoreError
from encore.spans import parse_span


def span_ms(text: str) -> int:
    """Return a span such as ``14d``, ``1h30m`` or ``0`` in milliseconds."""
    if re.fullmatch(r"0+(ms|[smhdw])?", text.strip()):
        return 0
    return parse_span(text) // timedelta(milliseconds=1)


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
        return from_ms + span_ms(text)
    except EncoreError:
        raise EncoreError(
            f"{text!r} is not a moment: write 2026-05-01T12:00:00Z, epoch milliseconds, "
            "or a span such as 2m."
        ) from None


def iso(moment_ms: int) -> str:
    """Return epoch milliseconds as ISO 8601 in UTC."""
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_away(text: str) -> tuple[int, int]:
    """Return the two moments of a span such as ``2026-05-01T12:00Z/2026-05-01T18:00Z`` in ms."""
    begin, separator, end = text.partition("/")
    if not separator:
        raise EncoreError(f"{text!r} is not a span between two moments: write FROM/TO.")
    return parse_moment(begin, 0), parse_moment(end, 0)
