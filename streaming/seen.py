"""The segments of event ids: stored in PostgreSQL, read by tasks, kept on the executor's disk."""

import mmap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import uuid4

import numpy as np
import pyarrow as pa
from psycopg2 import extensions

from streaming.duplicates import Ids, Segment, first_seen, merge, plan_change
from streaming.features.grouping import Mask
from streaming.sink.merge import Scripted, Target

SEEN = "seen_events"
# Ids are kept a little longer than the horizon, so that what is a repeat does not depend on where
# segments were merged when the clock that stamps arrivals steps back.
_CLOCK_STEP_MS = 3_600_000
_COLUMNS = ("segment", "topic", "partition", "events", "newest_ms", "packed", "replaces")


def seen_target() -> Target:
    """Return the table of segments; a staged one takes the place of those it was merged from."""
    columns = ", ".join(_COLUMNS[:-1])
    return Scripted(
        SEEN,
        _COLUMNS,
        (
            "DELETE FROM seen_events WHERE segment IN (SELECT unnest(replaces) {rows})",
            f"INSERT INTO seen_events ({columns}) SELECT {columns} {{rows}} AND events > 0",
        ),
        like=SEEN,
        extra={"replaces": "uuid[]"},
    )


@dataclass(frozen=True)
class SeenIds:
    """What a task needs to tell repeats from first ones in the partitions of a topic."""

    topic: str
    horizon_ms: int
    cache: Path

    def first_ones(
        self, cursor: extensions.cursor, accepted: pa.Table
    ) -> tuple[Mask, Sequence[Mapping[str, object]]]:
        """Return which accepted events are no repeats, and the rows for :func:`seen_target`.

        ``accepted`` has partition, arrived_ms and event_id, each partition in offset order.
        """
        partitions = accepted.column("partition").to_numpy()
        fresh = np.ones(accepted.num_rows, bool)
        changes = []
        for partition in np.unique(partitions).tolist():
            rows = np.flatnonzero(partitions == partition)
            mine = accepted.take(pa.array(rows))
            ids = Ids.of(mine.column("event_id"), mine.column("arrived_ms").to_numpy())
            segments = self._segments(cursor, partition)
            folder = self._folder(partition)
            stored = {one.name: _read(cursor, folder, one.name) for one in segments}
            _forget_others(folder, stored.keys())
            first = first_seen(ids, stored.values(), self.horizon_ms)
            fresh[rows] = first
            changes.append(self._change(partition, ids.at(first), segments, stored))
        return fresh, changes

    def _folder(self, partition: int) -> Path:
        return self.cache / self.topic / str(partition)

    def _change(
        self,
        partition: int,
        new: Ids,
        segments: Sequence[Segment],
        stored: Mapping[str, Ids],
    ) -> Mapping[str, object]:
        newest = max([*new.arrived_ms.tolist(), *(one.newest_ms for one in segments)], default=0)
        kept_ms = self.horizon_ms + _CLOCK_STEP_MS
        merged, old = plan_change(new, segments, kept_ms, newest)
        segment = merge(new, [stored[one.name] for one in merged], kept_ms, newest)
        name, packed = str(uuid4()), segment.pack()
        _keep(self._folder(partition), name, packed)
        return {
            "segment": name,
            "topic": self.topic,
            "partition": partition,
            "events": len(segment),
            "newest_ms": newest,
            "packed": "\\x" + packed.hex(),
            "replaces": "{" + ",".join(one.name for one in [*merged, *old]) + "}",
        }

    def _segments(self, cursor: extensions.cursor, partition: int) -> list[Segment]:
        cursor.execute(
            "SELECT segment::text, events, newest_ms FROM seen_events "
            "WHERE topic = %s AND partition = %s",
            (self.topic, partition),
        )
        return [Segment(*row) for row in cursor.fetchall()]


def _read(cursor: extensions.cursor, folder: Path, name: str) -> Ids:
    path = folder / name
    if not path.exists():
        cursor.execute("SELECT packed FROM seen_events WHERE segment = %s", (name,))
        _keep(folder, name, bytes(cursor.fetchall()[0][0]))
    if not path.stat().st_size:
        return Ids.unpack(b"")
    with path.open("rb") as file:
        return Ids.unpack(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def _keep(folder: Path, name: str, packed: bytes) -> None:
    """Write a segment to the cache; segments never change, and a name is never used again."""
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the folder, where another attempt at the same partition deletes nothing.
    with NamedTemporaryFile(dir=folder.parent, delete=False) as file:
        file.write(packed)
    Path(file.name).rename(folder / name)


def _forget_others(folder: Path, names: Collection[str]) -> None:
    """Delete what was merged into other segments since, or belonged to an attempt that failed."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name not in names:
            path.unlink(missing_ok=True)


def as_table(changes: Sequence[Mapping[str, object]]) -> pa.Table:
    """Return changes as a table with the columns of :func:`seen_target`."""
    types = {"partition": pa.int32(), "events": pa.int64(), "newest_ms": pa.int64()}
    return pa.table(
        {
            name: pa.array([change[name] for change in changes], types.get(name, pa.string()))
            for name in _COLUMNS
        }
    )
