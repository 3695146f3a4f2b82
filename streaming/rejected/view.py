"""Rejected records as text for a terminal. Nothing in a record reaches it unescaped."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from database.rejected.contract import rule_of
from database.rejected.edits import json_object
from database.rejected.readable import readable, readable_bytes
from database.rejected.rows import Group, Row

CUT_BYTES: Final = 400
_CUT: Final = 60
_MOST_TEXT: Final = 4_000
_HEX_BYTES: Final = 64
_HEX_LINE: Final = 16


def summary_table(groups: Sequence[Group], *, replayed: bool) -> Table:
    """Return the counts by topic, reason and field; ``replayed`` adds how many were sent again."""
    names = ["topic", "reason", "field", "count", "first arrival", "last arrival"]
    table = Table(*names[:4], *(["replayed"] if replayed else []), *names[4:])
    for one in groups:
        counts = [one.count, one.replayed] if replayed else [one.count]
        table.add_row(
            _text(one.topic),
            _text(one.reason),
            _text(one.field or ""),
            *map(str, counts),
            moment(one.first_at),
            moment(one.last_at),
        )
    return table


def rows_table(found: Sequence[Row]) -> Table:
    """Return the records, each with its place and the beginning of its value."""
    table = Table("place", "reason", "field", "arrival", "replayed to", "value")
    for column in table.columns:
        column.overflow = "fold"
    for row in found:
        table.add_row(
            _text(str(row.place)),
            _text(row.reason),
            _text(row.field or ""),
            moment(row.arrived_at),
            row.replayed_to or "",
            _text(cut(row.raw)),
        )
    return table


def details(row: Row) -> Iterator[str]:
    """Yield the lines that tell everything about one record."""
    place = row.place
    field = f", field {readable(row.field)}" if row.field else ""
    yield f"place     {place} (topic id {place.topic_id})"
    yield f"reason    {row.reason}{field}"
    yield f"contract  {readable(rule_of(place.topic, row.field))}"
    yield f"arrived   {moment(row.arrived_at)}"
    yield f"rejected  {moment(row.rejected_at)}"
    if row.replayed_at is not None:
        yield f"replayed  {moment(row.replayed_at)} to {place.topic}/{row.replayed_to}"
    else:
        yield "replayed  not yet"
    yield f"key       {'NULL' if row.key is None else readable_bytes(row.key)}"
    yield from _value(row)


def cut(raw: bytes | None) -> str:
    """Return the beginning of a value in one line."""
    if raw is None:
        return "NULL"
    text = readable_bytes(raw)
    return text if len(text) <= _CUT else f"{text[: _CUT - 1]}…"


def moment(at: datetime) -> str:
    """Return a moment as it is shown, in UTC to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _value(row: Row) -> Iterator[str]:
    if row.raw is None:
        yield "value     NULL"
        return
    found = json_object(row.raw)
    if found is not None:
        yield f"value     {row.size:,} bytes, a JSON object:"
        pretty = json.dumps(found, indent=2, ensure_ascii=False)
        yield from (readable(line) for line in pretty.split("\n"))
        return
    yield f"value     {row.size:,} bytes, no JSON object:"
    text = readable_bytes(row.raw)
    yield text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
    for start in range(0, min(_HEX_BYTES, len(row.raw)), _HEX_LINE):
        yield f"{start:08x}  {row.raw[start : start + _HEX_LINE].hex(' ')}"


def _text(text: str) -> Text:
    return Text(readable(text))
