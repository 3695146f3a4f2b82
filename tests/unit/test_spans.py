"""Spans of time as written on the command line."""

from datetime import timedelta

import pytest

from encore.errors import EncoreError
from encore.spans import parse_span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("2m", timedelta(minutes=2)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("14d", timedelta(days=14)),
        (" 0.5H ", timedelta(minutes=30)),
        ("250ms", timedelta(milliseconds=250)),
    ],
)
def test_a_span_is_read_with_its_units(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize(
    "text", ["", "2", "m", "0s", "-1m", "2 m", "2m and more", "1e9d", "9" * 30 + "d"]
)
def test_what_is_no_span_is_named_in_the_error(text: str) -> None:
    with pytest.raises(EncoreError, match="is not a span of time"):
        parse_span(text)
