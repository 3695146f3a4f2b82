"""From the bytes of Kafka records to columns, and the reason where one breaks the contract.

Nearly every record keeps the contract, so that is the fast way: msgspec decodes it into a struct
whose types carry the bounds of each field, and the few rules beyond single fields are checked on
whole columns. A record that fails anywhere is judged once more by :mod:`encore.judge`, which
names what is wrong, or accepts it after all (text given as another JSON type).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from encore.events import MAX_ID_LENGTH, MAX_RECORD_BYTES, Field, Kind
from encore.judge import Breach, BreachError, Judge
from encore.structs import DECODE_ERRORS, NUL, is_utf8, struct_of

ARROW_TYPES: Mapping[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.TEXTS: pa.list_(pa.string()),
}
PLACE = pa.schema([("partition", pa.int32()), ("offset", pa.int64()), ("arrived_ms", pa.int64())])


class Rule(Protocol):
    """A rule on more than one field, on whole columns and on one record."""

    def broken(self, columns: pa.Table) -> pa.Array:
        """Return which rows break the rule: booleans, as many as ``columns`` has rows."""

    def judge(self, record: Mapping[str, Any], arrived_ms: int) -> Breach | None:
        """Return how a record breaks the rule, or None."""


@dataclass(frozen=True)
class Rejected:
    """A record that breaks the contract, as it was."""

    partition: int
    offset: int
    arrived_ms: int
    breach: Breach
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Decoded:
    """Records told apart.

    ``accepted`` has the columns of :data:`PLACE`, one for each declared field and, for entities,
    ``deleted``; rows stay in the order in which they came.
    """

    accepted: pa.Table
    rejected: Sequence[Rejected]


class Decoder:
    """Decodes and checks the records of one topic."""

    def __init__(
        self,
        fields: Sequence[Field],
        rules: Sequence[Rule] = (),
        *,
        unused: Collection[str] = (),
        deletes: str | None = None,
    ) -> None:
        """Take the declared fields, the rules beyond them, and what is done with the records.

        ``unused`` names fields that are checked and then left out, since a column costs time.
        ``deletes`` names the field that a key without a value deletes (in a compacted topic);
        without it such a record is rejected as empty.
        """
        self._fields = fields
        self._rules = rules
        self._unused = frozenset(unused)
        self._deletes = deletes
        self._judge = Judge(fields, [rule.judge for rule in rules])
        self._struct = struct_of(fields)
        self._nothing = dict.fromkeys(field.name for field in fields)
        self._decode = msgspec.json.Decoder(self._struct).decode

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to Spark's workers without the compiled parts, which do not pickle."""
        return _rebuild, (self._fields, self._rules, self._unused, self._deletes)

    def decode(self, records: pa.RecordBatch) -> Decoded:
        """Decode a batch of key, value (binary), partition, offset, arrived_ms."""
        keys, values = records.column("key"), records.column("value").to_pylist()
        arrived = records.column("arrived_ms")
        suspects = self._suspicious_bytes(records.column("value"), values)
        structs: list[Any] = []
        breaches: dict[int, Breach] = {}
        deleted: set[int] = set()
        for row, value in enumerate(values):
            if row not in suspects:
                try:
                    structs.append(self._decode(value))
                    continue
                except DECODE_ERRORS:
                    pass
            structs.append(None)
            if self._deletes and value is None and (key := _identifier(keys[row].as_py())):
                deleted.add(row)
                structs[row] = self._struct(**{**self._nothing, self._deletes: key})
                continue
            try:
                structs[row] = self._struct(**self._judge.judge(value, arrived[row].as_py()))
            except BreachError as error:
                breaches[row] = error.breach
        return self._told_apart(records, structs, breaches, deleted)

    def _told_apart(
        self,
        records: pa.RecordBatch,
        structs: list[Any],
        breaches: dict[int, Breach],
        deleted: set[int],
    ) -> Decoded:
        good = [row for row in range(len(structs)) if row not in breaches]
        place = (
            records.select(PLACE.names)
            if not breaches
            else records.select(PLACE.names).take(pa.array(good, pa.int64()))
        )
        table = self._columns([structs[row] for row in good] if breaches else structs, place)
        if self._deletes:
            table = table.append_column("deleted", pa.array([row in deleted for row in good]))
        broken = self._broken(table, records, good)
        breaches |= broken
        if broken:
            table = table.filter(pa.array([row not in broken for row in good]))
        return Decoded(table, [_rejected(records, row, breaches[row]) for row in sorted(breaches)])

    def _columns(self, structs: Sequence[Any], place: pa.RecordBatch) -> pa.Table:
        # One pass in C from rows to columns; a loop for each field costs three times as much.
        columns = dict(zip(self._struct.__struct_fields__, _transposed(structs), strict=False))
        used = [field for field in self._fields if field.name not in self._unused]
        arrays = [_array(columns.get(one.name, ()), ARROW_TYPES[one.kind]) for one in used]
        return pa.Table.from_arrays(
            [*place.columns, *arrays], [*PLACE.names, *(one.name for one in used)]
        )

    def _broken(
        self, table: pa.Table, records: pa.RecordBatch, good: Sequence[int]
    ) -> dict[int, Breach]:
        """Judge the rows that a rule on columns marks; the judge has the last word."""
        found: dict[int, Breach] = {}
        for rule in self._rules:
            for at in pc.indices_nonzero(rule.broken(table)).to_pylist():
                row = good[at]
                try:
                    value = records.column("value")[row].as_py()
                    self._judge.judge(value, records.column("arrived_ms")[row].as_py())
                except BreachError as error:
                    found[row] = error.breach
        return found

    def _suspicious_bytes(self, values: pa.Array, each: Sequence[bytes | None]) -> set[int]:
        """Return the rows whose bytes alone want a judge: too long, no UTF-8, or with a NUL."""
        large = pc.greater(pc.binary_length(values), MAX_RECORD_BYTES)
        suspects = set(pc.indices_nonzero(large).to_pylist())
        if NUL in b" ".join(filter(None, each)):
            nul = pc.match_substring(values, NUL.decode())
            suspects.update(pc.indices_nonzero(nul).to_pylist())
        try:
            values.cast(pa.string())
        except pa.ArrowInvalid:
            # Only those that are no UTF-8: the judge is slow, and one must not cost all others.
            suspects.update(row for row, value in enumerate(each) if not is_utf8(value or b""))
        return suspects


def _array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    # What only rare events carry is nearly always absent; to see that costs a tenth of a column.
    if values and values[0] is None and values.count(None) == len(values):
        return pa.nulls(len(values), kind)
    return pa.array(values, kind)


def _transposed(structs: Sequence[msgspec.Struct]) -> Iterable[tuple[Any, ...]]:
    return zip(*map(msgspec.structs.astuple, structs), strict=True)


def _rebuild(
    fields: Sequence[Field], rules: Sequence[Rule], unused: Collection[str], deletes: str | None
) -> Decoder:
    return Decoder(fields, rules, unused=unused, deletes=deletes)


def _identifier(key: bytes | None) -> str | None:
    """Return a key as text, if an identifier can be that."""
    try:
        text = key.decode("utf-8") if key else ""
    except UnicodeDecodeError:
        return None
    return text if 0 < len(text) <= MAX_ID_LENGTH and "\x00" not in text else None


def _rejected(records: pa.RecordBatch, row: int, breach: Breach) -> Rejected:
    one = records.slice(row, 1).to_pylist()[0]
    return Rejected(
        one["partition"], one["offset"], one["arrived_ms"], breach, one["key"], one["value"]
    )
