"""A recorded log as a stream of records, paced by its own times."""

import gzip
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from encore.errors import EncoreError
from producer import eventsim
from producer.eventsim import Row, Song
from producer.records import Kind, RecordBlock

_LINES_A_BLOCK = 2_000
_OTHER_LOOK_AHEAD_MS = 3_600_000


@dataclass(slots=True)
class ReplayCounts:
    """What a replay found: ``events`` by type, lines that are no JSON object, rows without a
    user, and the distinct users and items sent as entities.
    """

    lines: int = 0
    events: Counter[str] = field(default_factory=Counter)
    not_json: int = 0
    without_user: int = 0
    users: int = 0
    items: int = 0

    def as_dict(self) -> dict[str, int | dict[str, int]]:
        """Return the counts as the summary of a replay shows them."""
        return {
            "lines": self.lines,
            "events": dict(sorted(self.events.items())),
            "not_json": self.not_json,
            "without_user": self.without_user,
            "users": self.users,
            "items": self.items,
        }


@dataclass(slots=True)
class _Held:
    """A line waiting for what tells how long its song was played."""

    line: bytes
    row: Row | None
    song: Song | None = None
    until_ms: int | None = None


@dataclass(slots=True)
class _Record:
    kind: Kind
    key: bytes | None
    value: bytes
    ts: int | None


class Replay:
    """The records of eventsim files, each line one event; ``counts`` fills as they are read.

    Lines are taken in the order of the files. A play is held back until its session goes on or
    the log has passed its end, so memory holds a few minutes of the log, never all of it.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.counts = ReplayCounts()
        self._lines = lines
        self._queue: deque[_Held] = deque()
        self._playing: dict[tuple[str | None, str], _Held] = {}
        self._song: dict[tuple[str | None, str], Song] = {}
        self._users: dict[str, dict[str, Any]] = {}
        self._items: set[str] = set()

    def records(self) -> Iterator[_Record]:
        """Yield every record in order, entities before the event that needs them."""
        latest = 0
        for line in self._lines:
            held = self._read(line)
            self._queue.append(held)
            when = eventsim.time_of(held.row) if held.row else None
            latest = max(latest, when or 0)
            yield from self._resolved(latest)
        yield from self._resolved(None)

    def blocks(self, speed: float | None, start_ms: int) -> Iterator[RecordBlock]:
        """Yield blocks; with a speed, a record is due when its time has come, counted from
        ``start_ms`` (epoch ms) and so many times as fast; without, at once.
        """
        pending: list[_Record] = []
        first: int | None = None
        for record in self.records():
            if first is None:
                first = record.ts
            pending.append(record)
            if len(pending) >= _LINES_A_BLOCK:
                yield _block(pending, speed, start_ms, first)
                pending = []
        if pending:
            yield _block(pending, speed, start_ms, first)

    def _read(self, line: bytes) -> _Held:
        self.counts.lines += 1
        row = eventsim.parse_row(line)
        held = _Held(line, row)
        session = eventsim.session_of(row) if row is not None else None
        if row is None:
            return held
        held.song = eventsim.song_of(row)
        if session is None:
            return held
        when = eventsim.time_of(row)
        playing = self._playing.pop(session, None)
        if playing is not None and when is not None:
            playing.until_ms = when
        if row.get("page") == "NextSong":
            self._playing[session] = held
            if held.song is not None:
                self._song[session] = held.song
        elif held.song is None:
            held.song = self._song.get(session)
        return held

    def _resolved(self, latest: int | None) -> Iterator[_Record]:
        """Yield what is known in full: all of it once the log has ended (``latest`` None)."""
        queue = self._queue
        while queue and (latest is None or not self._waits(queue[0], latest)):
            yield from self._emit(queue.popleft())

    def _waits(self, held: _Held, latest: int) -> bool:
        row = held.row
        if row is None or row.get("page") != "NextSong" or held.until_ms is not None:
            return False
        began, session = eventsim.time_of(row), eventsim.session_of(row)
        if began is None or session is None:
            return False
        length = held.song.duration_ms if held.song and held.song.duration_ms else 0
        return latest < began + (length or _OTHER_LOOK_AHEAD_MS)

    def _emit(self, held: _Held) -> Iterator[_Record]:
        row = held.row
        if row is None:
            self.counts.not_json += 1
            yield _Record(Kind.EVENT, None, held.line, None)
            return
        when, user = eventsim.time_of(row), eventsim.user_of(row)
        yield from self._entities(held, row, when)
        event = eventsim.event_of(row, held.song, _ms_played(held, when))
        self.counts.events[str(event["event_type"])] += 1
        self.counts.without_user += user is None
        yield _Record(Kind.EVENT, user.encode() if user else None, orjson.dumps(event), when)

    def _entities(self, held: _Held, row: Row, when: int | None) -> Iterator[_Record]:
        song = held.song
        if song is not None and song.item_id not in self._items:
            self._items.add(song.item_id)
            self.counts.items += 1
            item = orjson.dumps(eventsim.item_entity(song, when))
            yield _Record(Kind.ITEM, song.item_id.encode(), item, when)
        entity = eventsim.user_entity(row)
        if entity is None:
            return
        user = str(entity["user_id"])
        known = self._users.get(user)
        if known == entity:
            return
        self.counts.users += known is None
        self._users[user] = entity
        value = orjson.dumps(entity if when is None else entity | {"updated_ts": when})
        yield _Record(Kind.USER, user.encode(), value, when)


def read_lines(paths: Sequence[Path]) -> Iterator[bytes]:
    """Yield the lines of the files in order, without their ends and without empty ones.

    Raises:
        EncoreError: a file cannot be read.
    """
    for path in paths:
        try:
            with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
                for line in file:
                    stripped = line.strip()
                    if stripped:
                        yield stripped
        except OSError as error:
            raise EncoreError(f"{path} cannot be read: {error.strerror or error}.") from None


def parse_speed(text: str) -> float | None:
    """Return how many times as fast as recorded: ``60x`` gives 60, ``max`` None."""
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise EncoreError(f"--speed {text!r} is not allowed: write max, or times such as 60x.")
    return speed


def _ms_played(held: _Held, began: int | None) -> int | None:
    """Return how long the song was played: until the session went on, at most its length."""
    length = held.song.duration_ms if held.song else None
    if length is None or began is None or held.until_ms is None:
        return length
    return min(length, max(0, held.until_ms - began))


def _block(
    records: list[_Record], speed: float | None, start_ms: int, first: int | None
) -> RecordBlock:
    origin = first or 0
    times = np.array([origin if one.ts is None else one.ts for one in records], dtype=np.int64)
    due = start_ms + np.maximum.accumulate(times - origin) / (speed or 1.0)
    return RecordBlock(
        np.array([one.kind for one in records], dtype=np.uint8),
        [one.key for one in records],
        [one.value for one in records],
        due.astype(np.int64),
        live=speed is not None,
    )
