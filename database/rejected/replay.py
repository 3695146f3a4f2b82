"""Sending rejected records again, batch by batch: locked, sent, acknowledged, marked, committed.

A batch is one transaction. Its rows are locked while they are sent, and skipped by whoever finds
them locked, so two replays at once never send a row twice. They are marked after Kafka has
acknowledged them. If the process dies between the two, the next replay sends these few again, and
the stream drops the repeats of events by their ``event_id``.
"""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

import psycopg2
from psycopg2 import extensions

from database.rejected import rows
from database.rejected.compose import Record, compose, outdated
from database.rejected.edits import Edits, RefusedError
from database.rejected.lines import Line, read_lines
from database.rejected.places import Place
from database.rejected.rows import Filters
from database.rejected.sending import Delivered
from encore.errors import DeliveryError, EncoreError, ServiceUnavailableError
from encore.log import get_logger

log = get_logger("rejected")

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 16_777_216
_REFUSALS_TOLD: Final = 20

REPLAYED: Final = "already replayed"
ELSEWHERE: Final = "taken by another replay"
OUTDATED: Final = "is older than the version that is known: set its updated_ts if it is to win"


@dataclass(frozen=True, slots=True)
class Meant:
    """What a replay is about: rows that wait, rows replayed before, topics with their ids."""

    waiting: int
    replayed: int
    topics: frozenset[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        """Return the topics that records go to, in order."""
        return sorted({name for name, _ in self.topics})


@dataclass(frozen=True, slots=True)
class Work:
    """A locked row's place, and the line of a file that says what to send instead."""

    place: Place
    line: Line | None = None


class Selection(Protocol):
    """Which rows to replay, taken a batch at a time."""

    def meant(self, cursor: extensions.cursor) -> Meant:
        """Return what is meant, before anything is sent."""

    def take(self, cursor: extensions.cursor) -> list[Work] | None:
        """Lock the next rows; return them, none if others hold them, None at the end."""


@dataclass(slots=True)
class Tally:
    """What became of the records of a replay. ``skipped`` and ``failed`` are by reason."""

    sent: int = 0
    acknowledged: int = 0
    marked: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    left: int = 0

    def as_dict(self) -> dict[str, int | dict[str, int]]:
        """Return the counts as the summary shows them."""
        return {
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "marked": self.marked,
            "skipped": dict(self.skipped),
            "failed": dict(self.failed),
            "left": self.left,
        }

    def refuse(self, place: Place, why: str) -> None:
        """Count a record that is not sent, and tell of the first ones."""
        self.skipped[why] += 1
        if self.skipped[why] <= _REFUSALS_TOLD:
            log.warning(f"not sent: it {why}", record=str(place))


class ByFilters:
    """The rows that filters let through and that were rejected before the replay began.

    What the stream rejects again meanwhile is a new row: it would be sent for ever.
    """

    def __init__(self, filters: Filters, limit: int | None = None) -> None:
        """Take the filters, and how many rows to replay at most."""
        self._filters = filters
        self._left = limit
        self._after: Place | None = None

    def meant(self, cursor: extensions.cursor) -> Meant:
        """Return what the filters let through, at most as many rows as the limit."""
        cursor.execute("SELECT now()")  # the clock that stamps rejected_at
        ((now,),) = cursor.fetchall()
        self._filters = replace(self._filters, until=now)
        found = rows.count(cursor, self._filters)
        waiting = sum(row[2] for row in found)
        return Meant(
            waiting if self._left is None else min(waiting, self._left),
            sum(row[3] for row in found),
            frozenset((topic, topic_id) for topic, topic_id, waits, _ in found if waits),
        )

    def take(self, cursor: extensions.cursor) -> list[Work] | None:
        """Lock the next rows in the order of their places."""
        size = BATCH_ROWS if self._left is None else min(BATCH_ROWS, self._left)
        found = rows.lock_next(cursor, self._filters, self._after, size) if size else []
        places = within_bytes(found)
        if not places:
            return None
        self._after = places[-1]
        if self._left is not None:
            self._left -= len(places)
        return [Work(place) for place in places]


class ByFile:
    """The rows that the lines of a file name. The file is read twice, never held as a whole."""

    def __init__(self, path: Path) -> None:
        """Take a file of lines as ``encore rejected list --json`` prints them."""
        self._path = path
        self._lines: Iterator[Line] = iter(())
        self._pending: list[Line] = []

    def meant(self, cursor: extensions.cursor) -> Meant:
        """Read every line and look for its row.

        Raises:
            EncoreError: a line is wrong, names no rejected record or more than one, or names one
                that another line has named.
        """
        named: dict[Place, int] = {}
        replayed, topics = 0, set[tuple[str, str]]()
        lines = ((line.number, line.place) for line in read_lines(self._path))
        while chunk := list(islice(lines, BATCH_ROWS)):
            for place, done in self._resolve(cursor, chunk, named):
                replayed += done
                topics |= set() if done else {(place.topic, place.topic_id or "")}
        self._lines = read_lines(self._path)
        return Meant(len(named) - replayed, replayed, frozenset(topics))

    def take(self, cursor: extensions.cursor) -> list[Work] | None:
        """Lock the rows of the next lines."""
        self._fill()
        if not self._pending:
            return None
        given = {line.place: line for line in self._pending}
        found = rows.lock_these(cursor, list(given))
        works = [Work(place, given.get(place) or given[_without_id(place)]) for place, _ in found]
        now = len(within_bytes(found))
        self._pending = [work.line for work in works[now:] if work.line]
        return works[:now]

    def _fill(self) -> None:
        size = sum(map(_size, self._pending))
        while len(self._pending) < BATCH_ROWS and size < BATCH_BYTES:
            line = next(self._lines, None)
            if line is None:
                break
            self._pending.append(line)
            size += _size(line)

    def _resolve(
        self,
        cursor: extensions.cursor,
        chunk: Sequence[tuple[int, Place]],
        named: dict[Place, int],
    ) -> list[tuple[Place, bool]]:
        """Return the row of each line and whether it was replayed; note which line named it."""
        found = dict(rows.known(cursor, list({place for _, place in chunk})))
        ids: dict[Place, list[Place]] = {}
        for row in found:
            ids.setdefault(_without_id(row), []).append(row)
        resolved = []
        for number, place in chunk:
            exact = [place] if place in found else []
            rows_there = exact if place.topic_id else ids.get(place, [])
            row = self._only(number, place, rows_there)
            if row in named:
                raise self._wrong(number, f"line {named[row]} names {place} as well")
            named[row] = number
            resolved.append((row, found[row]))
        return resolved

    def _only(self, number: int, place: Place, rows_there: Sequence[Place]) -> Place:
        if not rows_there:
            raise self._wrong(number, f"there is no rejected record at {place}")
        if len(rows_there) > 1:
            ids = ", ".join(str(one.topic_id) for one in rows_there)
            raise self._wrong(number, f"{place} was used anew: give topic_id, one of {ids}")
        return rows_there[0]

    def _wrong(self, number: int, problem: str) -> EncoreError:
        return EncoreError(f"{self._path}, line {number}: {problem}. Nothing was sent.")


class Replay:
    """One replay: what it selects, how it edits, where it sends."""

    def __init__(
        self,
        connection: extensions.connection,
        selection: Selection,
        edits: Edits,
        deliver: Callable[[Sequence[Record]], Delivered],
    ) -> None:
        """Take a connection of its own, in which every batch is one transaction."""
        self.tally = Tally()
        self._connection = connection
        self._selection = selection
        self._edits = edits
        self._deliver = deliver
        self._may_go_on = True

    def run(self, meant: Meant, stopped: Callable[[], bool] = lambda: False) -> Tally:
        """Replay batch by batch until all is done, Kafka fails, or a stop is asked for.

        Raises:
            ServiceUnavailableError: PostgreSQL went away: what was sent last is not marked.
        """
        if meant.replayed:
            self.tally.skipped[REPLAYED] += meant.replayed
        missing, ended = meant.waiting, False
        while self._may_go_on and not ended and not stopped():
            handled = self._batch()
            ended = handled is None
            missing -= handled or 0
        if missing > 0 and ended:
            self.tally.skipped[ELSEWHERE] += missing
        elif missing > 0:
            self.tally.left = missing
        return self.tally

    def _batch(self) -> int | None:
        """Return how many rows were sent or refused, None if there are no more."""
        try:
            with self._connection, self._connection.cursor() as cursor:
                works = self._selection.take(cursor)
                if works is None:
                    return None
                delivered = self._send(self._records(cursor, works))
                marked = rows.mark(cursor, delivered.to)
        except psycopg2.OperationalError as error:
            raise ServiceUnavailableError(
                f"PostgreSQL went away: {str(error).strip()}. {self.tally.acknowledged} records "
                f"were sent, {self.tally.marked} of them marked. Start it with `encore up "
                "postgres`, then replay again: repeated events are dropped by their id."
            ) from None
        self.tally.marked += marked
        self._may_go_on = delivered.may_go_on
        return len(works) - delivered.untried

    def _records(self, cursor: extensions.cursor, works: Sequence[Work]) -> list[Record]:
        found = rows.load(cursor, [work.place for work in works]) if works else {}
        records = []
        for work in works:
            try:
                records.append(compose(found[work.place], self._edits, work.line))
            except RefusedError as refused:
                self.tally.refuse(work.place, str(refused))
        old = outdated(cursor, records)
        for place in sorted(old, key=str):
            self.tally.refuse(place, OUTDATED)
        return [record for record in records if record.place not in old]

    def _send(self, records: Sequence[Record]) -> Delivered:
        delivered = self._deliver(records)
        self.tally.sent += len(delivered.to) + len(delivered.failed)
        self.tally.acknowledged += len(delivered.to)
        self.tally.failed.update(delivered.failed.values())
        return delivered


@contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Yield whether SIGINT or SIGTERM came: the batch at hand is finished. Twice interrupts it."""
    asked = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        log.info("stopping after the batch at hand, once more to give it up")
        asked.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield asked.is_set
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def within_bytes(found: Sequence[tuple[Place, int]]) -> list[Place]:
    """Return the first of the places whose values fit into memory together, at least one."""
    places: list[Place] = []
    total = 0
    for place, size in found:
        total += size
        if places and total > BATCH_BYTES:
            break
        places.append(place)
    return places


def check_delivered(tally: Tally) -> None:
    """Raise an error if a record could not be delivered.

    Raises:
        DeliveryError: not everything was acknowledged.
    """
    lost = tally.failed.total()
    if lost:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(tally.failed.items()))
        raise DeliveryError(
            f"{lost} of {tally.sent} records could not be delivered ({reasons}) and are not marked "
            "as replayed. Check the broker with `encore status`, then replay again."
        )


def _size(line: Line) -> int:
    return len(line.value.value or b"") if line.value else 0


def _without_id(place: Place) -> Place:
    return Place(place.topic, None, place.partition, place.offset)
