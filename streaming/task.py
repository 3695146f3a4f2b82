"""What one Spark task does with its records: decode, check, drop repeats, add up, copy.

It runs inside ``mapInArrow``. A record is read once and goes no further than its task: what
leaves it are rows of deltas for PostgreSQL, and a report for the driver.
"""

import gc
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import extensions, sql
from pyspark import TaskContext

from streaming.faults import die_once
from streaming.records import Decoder, Rejected
from streaming.rejects import REJECTED, rejected_rows
from streaming.seen import SEEN, SeenIds, Uncommitted, as_table
from streaming.sink.progress import Tally
from streaming.sink.staging import StagingArea, StagingWriter

REPORT = (
    "attempt long, partition int, accepted long, late long, duplicate long, rejected long, "
    "arrived_ms long, event_ms long, produced_ms long, reasons string"
)
_REPORT_NAMES = [column.split()[0] for column in REPORT.split(", ")]

_SLICE = 2_000

Deltas = Callable[[pa.Table], Mapping[str, pa.Table]]


@dataclass(frozen=True)
class Sequel:
    """A delta of what may follow rows of another: made only while there are such rows.

    ``of`` names the other delta, and the table that holds its rows for as long as something may
    follow them. Both come from the same partition, which is read by one task. ``before`` are the
    rows of ``of`` in the batch that is being merged.
    """

    name: str
    of: str
    rows: Callable[[pa.Table], pa.Table]
    before: Uncommitted | None = None

    def is_awaited(self, cursor: extensions.cursor) -> bool:
        """Tell whether an earlier batch has rows of ``of``.

        One statement sees both tables at one moment, so it does not matter whether the batch
        before is committed by now.
        """
        staged: sql.Composable = sql.SQL("false")
        table = sql.SQL("EXISTS (SELECT FROM {})").format(sql.Identifier(self.of))
        if self.before is not None:
            staged = sql.SQL("EXISTS (SELECT FROM {} WHERE attempt = ANY ({}::bigint[]))").format(
                self.before.staged, sql.Literal(list(self.before.attempts))
            )
        cursor.execute(sql.SQL("SELECT {} OR {}").format(table, staged))
        return bool(cursor.fetchall()[0][0])


@dataclass
class _Counts:
    """What a task found in one partition."""

    read: int = 0
    accepted: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: int = 0
    arrived_ms: int = 0
    event_ms: int | None = None
    produced_ms: int | None = None
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Task:
    """The work on the records of one topic, as it travels to the executors.

    ``recorded`` is the first offset of each partition that is not counted yet. ``seen`` is
    None where repeats count (entities).
    """

    topic: str
    topic_id: str
    decoder: Decoder
    deltas: Deltas
    seen: SeenIds | None
    late_after_ms: int
    area: StagingArea
    sequel: Sequel | None = None
    recorded: Mapping[int, int] = field(default_factory=dict)
    dies_once: Path | None = None

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Process the records of a task; yield its report, a row for each partition.

        Raises:
            DatabaseAwayError: PostgreSQL cannot be reached, or refuses for now.
        """
        first = next(batches, None)
        if first is None:
            return
        context = TaskContext.get()
        attempt = context.taskAttemptId() if context else 0
        counts: dict[int, _Counts] = {}
        with self.area.writer(attempt) as writer:
            with _without_collector():
                accepted = self._accepted(writer, chain([first], batches), counts)
            fresh = self._without_repeats(writer, accepted)
            deltas = self.deltas(fresh)
            for name, rows in deltas.items():
                writer.copy(name, rows)
                die_once(self.dies_once)
            self._copy_sequel(writer, deltas, fresh)
        self._count(fresh, counts)
        yield _report(attempt, counts)

    def _copy_sequel(
        self, writer: StagingWriter, deltas: Mapping[str, pa.Table], fresh: pa.Table
    ) -> None:
        sequel = self.sequel
        if sequel and (deltas[sequel.of].num_rows or sequel.is_awaited(writer.cursor)):
            writer.copy(sequel.name, sequel.rows(fresh))

    def _accepted(
        self,
        writer: StagingWriter,
        batches: Iterator[pa.RecordBatch],
        counts: dict[int, _Counts],
    ) -> pa.Table:
        """Decode batch by batch, so that the bytes of all need not be held at once."""
        parts = []
        for batch in _in_slices(map(self._uncounted, batches)):
            decoded = self.decoder.decode(batch)
            writer.copy(REJECTED, rejected_rows(decoded.rejected, self.topic, self.topic_id))
            _take_note(batch, decoded.rejected, counts)
            parts.append(decoded.accepted)
        return pa.concat_tables(parts)

    def _uncounted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        partitions = batch.column("partition").to_numpy()
        begin = np.zeros(int(partitions.max(initial=-1)) + 1, np.int64)
        for partition, offset in self.recorded.items():
            if partition < len(begin):
                begin[partition] = offset
        counted = batch.column("offset").to_numpy() < begin[partitions]
        return batch.filter(pa.array(~counted)) if counted.any() else batch

    def _without_repeats(self, writer: StagingWriter, accepted: pa.Table) -> pa.Table:
        if self.seen is None or not accepted.num_rows:
            return accepted
        first, changes = self.seen.first_ones(writer.cursor, accepted)
        writer.copy(SEEN, as_table(changes))
        return accepted if first.all() else accepted.filter(pa.array(first))

    def _count(self, fresh: pa.Table, counts: Mapping[int, _Counts]) -> None:
        partitions = fresh.column("partition").to_numpy()
        arrived = fresh.column("arrived_ms").to_numpy()
        event, produced = (_known(fresh, name) for name in ("event_ts", "produced_ts"))
        for one in counts.values():
            one.duplicate = one.read - one.rejected
        for partition in np.unique(partitions).tolist():
            mine = partitions == partition
            one = counts[partition]
            one.accepted = int(mine.sum())
            one.duplicate -= one.accepted
            if event is not None:
                one.late = int((arrived[mine] - event[mine] >= self.late_after_ms).sum())
                one.event_ms = int(event[mine].max())
            if produced is not None:
                one.produced_ms = int(produced[mine].max()) or None


@contextmanager
def _without_collector() -> Iterator[None]:
    """Decode without Python's collector of cycles: there are none, and it looks at every record."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _in_slices(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut batches so that the objects of one stay in the processor's cache."""
    for batch in batches:
        for start in range(0, batch.num_rows, _SLICE):
            yield batch.slice(start, _SLICE)


def tallies_of(reports: Sequence[Mapping[str, Any]]) -> list[Tally]:
    """Return what the tasks of a batch found, a tally for each partition."""
    return [
        Tally(
            **{name: row[name] for name in _REPORT_NAMES if name not in ("attempt", "reasons")},
            reasons=json.loads(row["reasons"]),
        )
        for row in reports
    ]


def _known(table: pa.Table, name: str) -> np.ndarray | None:
    if name not in table.column_names:
        return None
    return np.asarray(pc.fill_null(table.column(name), 0).to_numpy())


def _take_note(
    batch: pa.RecordBatch, rejected: Sequence[Rejected], counts: dict[int, _Counts]
) -> None:
    partitions = batch.column("partition").to_numpy()
    arrived = batch.column("arrived_ms").to_numpy()
    for partition in np.unique(partitions).tolist():
        one = counts.setdefault(partition, _Counts())
        one.read += int((partitions == partition).sum())
        one.arrived_ms = max(one.arrived_ms, int(arrived[partitions == partition].max()))
    for record in rejected:
        counts[record.partition].rejected += 1
        counts[record.partition].reasons[record.breach.reason.value] += 1


def _report(attempt: int, counts: Mapping[int, _Counts]) -> pa.RecordBatch:
    rows = [
        # What the schema does not name is left out.
        {
            **vars(one),
            "attempt": attempt,
            "partition": partition,
            "reasons": json.dumps(one.reasons),
        }
        for partition, one in sorted(counts.items())
    ]
    types = {"partition": pa.int32(), "reasons": pa.string()}
    schema = pa.schema([(name, types.get(name, pa.int64())) for name in _REPORT_NAMES])
    return pa.RecordBatch.from_pylist(rows, schema)
