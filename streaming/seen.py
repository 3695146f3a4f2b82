"""The segments of event ids: stored in PostgreSQL, read by tasks, kept on the executor's disk."""

import mmap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import uuid4

import numpy as np
import pyarrow as pa
from psycopg2 import extensions, sql

from streaming.duplicates import Ids, Segment, first_seen, merge, plan_change
from streaming.features.grouping import Mask
from streaming.sink.merge import Scripted, Target
from streaming.sink.staging import DatabaseAwayError

SEEN = "seen_events"
# Ids are kept a little longer than the horizon, so that what is a repeat does not depend on where
# segments were merged when the clock that stamps arrivals steps back.
_CLOCK_STEP_MS = 3_600_000
_COLUMNS: Mapping[str, pa.DataType] = {
    "segment": pa.string(),
    "topic": pa.string(),
    "partition": pa.int32(),
    "events": pa.int64(),
    "newest_ms": pa.int64(),
    "packed": pa.binary(),
    "replaces": pa.list_(pa.string()),
}
_KEPT = tuple(_COLUMNS)[:-1]  # what it replaces is gone once it is stored
_STORED = ("segment::uuid", "topic", "partition", "events", "newest_ms", "packed")


def seen_target() -> Target:
    """Return the table of segments; a staged one takes the place of those it was merged from."""
    columns, values = ", ".join(_KEPT), ", ".join(_STORED)
    return Scripted(
        SEEN,
        list(_COLUMNS),
        (
            "DELETE FROM seen_events WHERE segment IN (SELECT unnest(replaces)::uuid {rows})",
            f"INSERT INTO seen_events ({columns}) SELECT {values} {{rows}} AND events > 0",
        ),
        like=SEEN,
        extra={"segment": "text", "replaces": "text[]"},
    )


@dataclass(frozen=True)
class Uncommitted:
    """Rows of a batch that is being merged: where they are staged, and the attempts that count."""

    staged: sql.Composable
    attempts: Sequence[int]


@dataclass(frozen=True)
class SeenIds:
    """What a task needs to tell repeats from first ones in the partitions of a topic.

    ``before`` is the batch before this one, as long as it may not be committed.
    """

    topic: str
    horizon_ms: int
    cache: Path
    before: Uncommitted | None = None

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
            stored = {one.name: self.read(cursor, partition, one.name) for one in segments}
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
            "packed": packed,
            "replaces": [one.name for one in [*merged, *old]],
        }

    def _segments(self, cursor: extensions.cursor, partition: int) -> list[Segment]:
        cursor.execute(
            sql.SQL(
                "SELECT segment::text, events, newest_ms FROM ({}) AS s "
                "WHERE topic = %s AND partition = %s"
            ).format(self._stored()),
            (self.topic, partition),
        )
        return [Segment(*row) for row in cursor.fetchall()]

    def _stored(self) -> sql.Composable:
        """Return the segments as they are when the batch before is committed, or was already.

        One statement sees both tables at one moment, so it does not matter which.
        """
        columns = sql.SQL(", ".join(_KEPT))
        if self.before is None:
            return sql.SQL("SELECT {} FROM seen_events").format(columns)
        return sql.SQL(
            "WITH staged AS (SELECT {}, replaces FROM {} WHERE attempt = ANY ({}::bigint[])) "
            "SELECT {} FROM seen_events "
            "WHERE segment NOT IN (SELECT unnest(replaces)::uuid FROM staged) "
            "UNION ALL SELECT * FROM (SELECT {} FROM staged WHERE events > 0) AS new "
            "WHERE segment NOT IN (SELECT segment FROM seen_events)"
        ).format(
            sql.SQL(", ").join(map(sql.Identifier, _KEPT)),
            self.before.staged,
            sql.Literal(list(self.before.attempts)),
            columns,
            sql.SQL(", ".join(_STORED)),
        )

    def read(self, cursor: extensions.cursor, partition: int, name: str) -> Ids:
        """Return a segment, from the disk if it is there.

        Raises:
            DatabaseAwayError: it was staged only, and PostgreSQL lost that in a crash.
        """
        folder = self._folder(partition)
        path = folder / name
        if not path.exists():
            cursor.execute(
                sql.SQL("SELECT packed FROM ({}) AS s WHERE segment = %s").format(self._stored()),
                (name,),
            )
            found = cursor.fetchall()
            if not found:
                raise DatabaseAwayError(f"segment {name} of seen_events was staged and is gone")
            _keep(folder, name, bytes(found[0][0]))
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
    return pa.table(
        {
            name: pa.array([change[name] for change in changes], kind)
            for name, kind in _COLUMNS.items()
        }
    )
