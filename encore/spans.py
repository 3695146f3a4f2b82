"""Spans of time as people write them on the command line: ``90s``, ``2m``, ``1h30m``, ``14d``."""

import re
from datetime import timedelta
from typing import Final

from encore.errors import EncoreError

_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def parse_span(text: str) -> timedelta:
    """Return the span that a text such as ``2m`` or ``1h30m`` names.

    Raises:
        EncoreError: the text names no span that is longer than nothing.
    """
    plain = text.strip().lower()
    parts = _PART.findall(plain)
    try:
        span = sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta())
    except OverflowError:
        span = timedelta()
    if "".join(number + unit for number, unit in parts) != plain or span <= timedelta():
        raise EncoreError(f"{text!r} is not a span of time: write it like 90s, 2m, 1h30m or 14d.")
    return span
