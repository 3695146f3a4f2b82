"""Exact recognition of repeated event ids within a horizon of arrival time.

The ids of accepted events lie in *segments*: sorted, packed arrays of one partition, stored in
PostgreSQL and written in the transaction that counts the events. So they are right whenever the
numbers are, and need no checkpoint, no watermark and no clock. A listener's events share a
partition (the key is ``user_id``), so a repeat is looked for in its own partition only.

Segments grow like the levels of a log-structured merge tree (O'Neil et al., Acta Informatica
1996): when enough of one size have come together, they become one of the next size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.features.grouping import Integers, Mask

Words = NDArray[np.uint64]

_FAN_OUT = 8
_SMALLEST = 256
_LARGEST = 1 << 20  # ids; a larger segment is never merged again, it only grows old
_NEVER = np.iinfo(np.int64).min // 2

_UUID_LENGTH = 36


@dataclass(frozen=True)
class Ids:
    """Event ids, each two words of 64 bits, and when they arrived, in ms since 1970.

    The first word is mixed (by the finaliser of SplitMix64, which is one to one), so that ids
    that share their beginning spread as well; rows are sorted by it where ``Ids`` is a segment.
    """

    mixed: Words
    low: Words
    arrived_ms: Integers

    def __len__(self) -> int:
        """Return how many ids there are."""
        return len(self.mixed)

    @classmethod
    def of(cls, texts: pa.ChunkedArray, arrived_ms: Integers) -> "Ids":
        """Take UUIDs as text, with dashes and in either case."""
        words = _words(texts)
        return cls(_mix(words[:, 0], words[:, 1]), words[:, 1], arrived_ms)

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> "Ids":
        """Read what :meth:`pack` wrote, without copying it."""
        columns = np.frombuffer(packed, "<u8").reshape(3, -1)
        return cls(columns[0], columns[1], columns[2].view("<i8"))

    def pack(self) -> bytes:
        """Return the three columns one after the other, little-endian."""
        return np.stack([self.mixed, self.low, self.arrived_ms.view("<u8")]).astype("<u8").tobytes()

    def at(self, rows: Mask | Integers) -> "Ids":
        """Keep some rows, in the order given."""
        return Ids(self.mixed[rows], self.low[rows], self.arrived_ms[rows])

    def in_order(self) -> "Ids":
        """Return the ids sorted as a segment is."""
        return self.at(np.lexsort((self.low, self.mixed)))

    @staticmethod
    def together(parts: Sequence["Ids"]) -> "Ids":
        """Join ids, unsorted."""
        return Ids(
            np.concatenate([one.mixed for one in parts]),
            np.concatenate([one.low for one in parts]),
            np.concatenate([one.arrived_ms for one in parts]),
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """What is known of a stored segment without reading it."""

    name: str
    size: int
    newest_ms: int


def first_seen(ids: Ids, segments: Iterable[Ids], horizon_ms: int) -> Mask:
    """Return which ids, in the order of their offsets, are no repeats.

    An id is a repeat if one that was no repeat itself arrived at most a horizon before it, in a
    segment or earlier in ``ids``.
    """
    order = np.lexsort((np.arange(len(ids)), ids.low, ids.mixed))
    ordered = ids.at(order)
    known = np.full(len(ids), _NEVER, np.int64)
    for segment in segments:
        np.maximum(known, _arrivals(ordered, segment), out=known)
    fresh = ordered.arrived_ms - known > horizon_ms
    same = (ordered.mixed[1:] == ordered.mixed[:-1]) & (ordered.low[1:] == ordered.low[:-1])
    for row in np.flatnonzero(same):
        # Repeats within a batch are few, and each depends on the one before.
        last = ordered.arrived_ms[row] if fresh[row] else known[row]
        known[row + 1] = max(known[row + 1], last)
        fresh[row + 1] = ordered.arrived_ms[row + 1] - known[row + 1] > horizon_ms
    found = np.empty(len(ids), bool)
    found[order] = fresh
    return found


def plan_change(
    new: Ids, segments: Sequence[Segment], horizon_ms: int, newest_ms: int
) -> tuple[list[Segment], list[Segment]]:
    """Return which segments to merge with the new ids, and which are too old to be of use."""
    old = [one for one in segments if newest_ms - one.newest_ms > horizon_ms]
    living = [one for one in segments if one not in old]
    merged: list[Segment] = []
    size = len(new)
    while True:
        alike = [one for one in living if _level(one.size) <= _level(size) and one not in merged]
        if len(alike) < _FAN_OUT - 1 or size >= _LARGEST:
            return merged, old
        merged += alike
        size += sum(one.size for one in alike)


def merge(new: Ids, merged: Sequence[Ids], horizon_ms: int, newest_ms: int) -> Ids:
    """Return a segment of the new ids and of what is still within the horizon of the others."""
    together = Ids.together([new, *merged])
    return together.at(newest_ms - together.arrived_ms <= horizon_ms).in_order()


def _level(size: int) -> int:
    level, least = 0, _SMALLEST
    while size >= least * _FAN_OUT:
        level, least = level + 1, least * _FAN_OUT
    return level


def _arrivals(wanted: Ids, segment: Ids) -> Integers:
    """Return when each wanted id last arrived by a segment, or never; both are sorted."""
    found = np.full(len(wanted), _NEVER, np.int64)
    at = np.searchsorted(segment.mixed, wanted.mixed)
    open_rows = np.arange(len(wanted))
    # One step, but for ids that stand in the segment more than once.
    while len(open_rows):
        inside = at[open_rows] < len(segment)
        open_rows = open_rows[inside]
        places = at[open_rows]
        open_rows = open_rows[segment.mixed[places] == wanted.mixed[open_rows]]
        places = at[open_rows]
        hits = segment.low[places] == wanted.low[open_rows]
        rows = open_rows[hits]
        found[rows] = np.maximum(found[rows], segment.arrived_ms[places[hits]])
        at[open_rows] += 1
    return found


_DIGITS = np.zeros(256, np.uint8)
_DIGITS[np.frombuffer(b"0123456789", np.uint8)] = np.arange(10)
_DIGITS[np.frombuffer(b"abcdef", np.uint8)] = np.arange(10, 16)
_DIGITS[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)
_PLACES = [place for place in range(_UUID_LENGTH) if place not in (8, 13, 18, 23)]


def _nibbles(texts: pa.ChunkedArray) -> NDArray[np.uint8]:
    characters = b"".join(_bytes_of(chunk) for chunk in texts.chunks)
    grid = np.frombuffer(characters, np.uint8).reshape(-1, _UUID_LENGTH)
    return _DIGITS[grid[:, _PLACES]]


def _bytes_of(texts: pa.Array) -> bytes:
    ends = slice(texts.offset, texts.offset + len(texts) + 1)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[ends]
    return bytes(texts.buffers()[2][offsets[0] : offsets[-1]])


def _words(texts: pa.ChunkedArray) -> Words:
    """Return UUIDs as two words of 64 bits each, an array of shape (n, 2)."""
    nibbles = _nibbles(texts)
    octets = (nibbles[:, 0::2] << 4) | nibbles[:, 1::2]
    return np.ascontiguousarray(octets).view(">u8").astype(np.uint64)


def _mix(high: Words, low: Words) -> Words:
    with np.errstate(over="ignore"):
        mixed = high + low * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))
