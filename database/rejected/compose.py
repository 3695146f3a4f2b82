"""From a rejected row to the record that is sent: its value as it was or edited, and its key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg2 import extensions, sql

from database.rejected.contract import entity_table, key_field
from database.rejected.edits import Edits, RefusedError, dumps, json_object
from database.rejected.lines import Line
from database.rejected.places import Place
from database.rejected.rows import Row

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Record:
    """A record to send, and the place of the rejected one that it was made of."""

    place: Place
    key: bytes | None
    value: bytes

    @property
    def topic(self) -> str:
        """Return the topic, the one that it was rejected from."""
        return self.place.topic


def compose(row: Row, edits: Edits, line: Line | None = None) -> Record:
    """Return the record to send for a row: the line of a file goes before it, edits come last.

    Raises:
        RefusedError: the record must not be sent.
    """
    before = row.raw if line is None or line.value is None else line.value.value
    # On a compacted topic an empty value deletes the entity; elsewhere it says nothing.
    if not before:
        raise RefusedError("has no value")
    value = edits.apply(before)
    key = _key(row, value, line)
    if key is None and entity_table(row.place.topic):
        raise RefusedError(f"has neither key nor {key_field(row.place.topic)}")
    return Record(row.place, key, value)


def _key(row: Row, value: bytes, line: Line | None) -> bytes | None:
    """Return the key that a file gives, else the id where an edit changed it, else the old key.

    A NULL key becomes the id that the value has, as the contract keys records.
    """
    if line is not None and line.key is not None and line.key.value not in (None, row.key):
        return line.key.value
    name = key_field(row.place.topic)
    if row.key is not None and (value == row.raw or _id(value, name) == _id(row.raw, name)):
        return row.key
    return _id(value, name) or row.key


def _id(value: bytes | None, name: str) -> bytes | None:
    found = (json_object(value) or {}).get(name)
    if found is None or found == "" or isinstance(found, dict | list):
        return None
    try:
        # Text given as another JSON type is read as its JSON text.
        return found.encode() if isinstance(found, str) else dumps(found)
    except UnicodeEncodeError:
        return None


def outdated(cursor: extensions.cursor, records: Sequence[Record]) -> set[Place]:
    """Return the places of entities of which a newer version is known.

    The stream keeps the version that comes last, and what is sent again comes last.
    """
    found: set[Place] = set()
    for topic in {record.topic for record in records}:
        if table := entity_table(topic):
            ours = [record for record in records if record.topic == topic]
            found |= _outdated(ours, _known_versions(cursor, table, key_field(topic), ours))
    return found


def _outdated(records: Sequence[Record], versions: Mapping[str, datetime]) -> set[Place]:
    return {
        record.place
        for record in records
        if (known := versions.get(_text(record.key))) and not _made_since(record.value, known)
    }


def _known_versions(
    cursor: extensions.cursor, table: str, key: str, records: Sequence[Record]
) -> dict[str, datetime]:
    query = sql.SQL("SELECT {key}, updated_at FROM {table} WHERE {key} = ANY(%s)").format(
        key=sql.Identifier(key), table=sql.Identifier(table)
    )
    names = [name for name in (_text(record.key) for record in records) if "\0" not in name]
    cursor.execute(query, (names,))
    return {name: at for name, at in cursor.fetchall() if at is not None}


def _made_since(value: bytes, known: datetime) -> bool:
    made: Any = (json_object(value) or {}).get("updated_ts")
    return isinstance(made, int) and made >= (known - _EPOCH) // timedelta(milliseconds=1)


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
