"""Writing the micro-batches of one topic: the task that does the work, the sink, patience."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from pyspark import SparkFiles
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from database.engine import TRANSIENT
from encore.errors import EncoreError, ServiceUnavailableError
from encore.log import get_logger
from encore.settings import Settings
from encore.topics import commit_group, topic_ids
from streaming.faults import Fault
from streaming.metrics import Metrics
from streaming.records import Decoder
from streaming.rejects import rejected_target
from streaming.seen import SEEN, SeenIds, Uncommitted
from streaming.sink.merge import Target
from streaming.sink.postgres import PostgresSink, StagedBatch, Written, topic_was_recreated
from streaming.sink.progress import advances
from streaming.sink.staging import DatabaseAwayError
from streaming.source import read_range
from streaming.task import REPORT, Deltas, Sequel, Task, tallies_of

log = get_logger("streaming")

T = TypeVar("T")

# Below so many records a second task costs more than it saves.
_RECORDS_A_TASK = 10_000


@dataclass(frozen=True)
class Stream:
    """What is done with one topic: decode, drop repeats within ``horizon`` if given, add up.

    ``last`` is a statement at the end of every merge, given the topic's name and id.
    """

    topic: str
    targets: Sequence[Target]
    decoder: Decoder
    deltas: Deltas
    horizon: timedelta | None
    sequel: Sequel | None = None
    last: str | None = None


@dataclass
class _Merging:
    """A staged batch on its way into the tables; ``redone`` if what was staged did not do."""

    staged: StagedBatch
    redone: bool = False
    result: "Future[None]" = field(default_factory=Future)


class BatchWriter:
    """Writes frames of records of one topic into the tables, each offset once.

    A batch is merged by a thread while the next one is read and staged: one keeps PostgreSQL
    busy, the other Spark. What is counted is what is committed, in order, one batch after the
    other; how far Spark believes to be does not matter.
    """

    def __init__(
        self,
        spark: SparkSession,
        stream: Stream,
        *,
        bootstrap: str,
        database: str,
        scratch: Path,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        """Take the topic as it is now; ``scratch`` is a folder on the driver."""
        self._spark = spark
        self._stream = stream
        self._bootstrap = bootstrap
        self._topic_id = topic_ids(bootstrap, [stream.topic])[stream.topic]
        self._settings = settings
        self._metrics = metrics
        self.ending = False
        self._merging: _Merging | None = None
        self._merger = ThreadPoolExecutor(1, thread_name_prefix=f"merge-{stream.topic}")
        fault = Fault(settings.stream_fault)
        self.sink = PostgresSink(
            database,
            stream.topic,
            self._topic_id,
            [*stream.targets, rejected_target()],
            lock_timeout_ms=round(settings.stream_lock_timeout_seconds * 1000),
            hook=fault,
            last=stream.last,
        )
        self._task = self._make_task(fault.in_tasks(scratch))

    def end(self) -> None:
        """Try no batch again from now on."""
        self.ending = True

    def write(self, batch: DataFrame, number: int, ends: Mapping[int, int]) -> None:
        """Stage the records of a batch that ends before the offsets ``ends``; begin to merge it.

        It returns when the batch is staged and the one before it committed. :meth:`settle` waits
        for its own commit.

        Raises:
            EncoreError: the topic was made anew, or another job counts it.
            psycopg2.Error, PySparkException: it failed for longer than the patience lasts.
        """
        staged = self._patiently(lambda tries: self._stage_next(batch, ends, again=tries > 0))
        if staged is not None and not self.ending:
            merging = _Merging(staged)
            merging.result = self._merger.submit(self._merge, number, merging)
            self._merging = merging

    def settle(self) -> None:
        """Wait until all that was written is committed.

        Raises:
            EncoreError, psycopg2.Error, PySparkException: as for :meth:`write`.
        """
        if self._merging is not None:
            self._merging.result.result()
            self._merging = None

    @property
    def is_merging(self) -> bool:
        """Tell whether something written is not known to be committed."""
        merging = self._merging
        return merging is not None and not (merging.result.done() and self.failure() is None)

    def failure(self) -> BaseException | None:
        """Return what ended the merge of the last batch, if it failed for good."""
        merging = self._merging
        return merging.result.exception() if merging and merging.result.done() else None

    def close(self) -> None:
        """Let the merge under way end, well or not; drop the staging tables."""
        self._merger.shutdown()
        if error := self.failure():
            log.warning(
                "last batch not counted, the next start does it", because=_first_line(error)
            )
        self.sink.close()

    def _stage_next(
        self, batch: DataFrame, ends: Mapping[int, int], *, again: bool
    ) -> StagedBatch | None:
        """Stage a batch while the one before is merged; return None if it is counted already."""
        before = self._merging
        if again or (before is not None and before.result.done()):
            self.settle()
            for side in (0, 1) if again or before is None else (before.staged.side,):
                self.sink.empty(side)
            before = None
        begins = before.staged.upto if before else self.sink.recorded()
        if not advances(begins, ends, ()):
            return None
        staged = self._stage(batch, begins, ends, before.staged if before else None)
        if before is None:
            return staged
        self.settle()
        self.sink.empty(before.staged.side)
        if not before.redone:
            return staged
        # Its repeats were looked for among ids that were staged once more since.
        return self._stage_next(batch, ends, again=True)

    def _merge(self, number: int, merging: "_Merging") -> None:
        """Merge a staged batch; after a failure read, stage and merge it once more."""
        side, ends = merging.staged.side, merging.staged.ends

        def attempt(tries: int) -> Written | None:
            if not tries:
                return self.sink.merge(number, merging.staged)
            merging.redone = True
            begins = self.sink.recorded()
            if not advances(begins, ends, ()):
                return None  # The commit that failed was one.
            self.sink.empty(side)
            batch = read_range(self._spark, self._bootstrap, self._stream.topic, begins, ends)
            return self.sink.merge(number, self._stage_on(side, batch, begins, ends))

        written = self._patiently(attempt)
        if written is not None:
            _tell(self._stream.topic, number, written)
            self._publish(written)

    def _patiently(self, attempt: Callable[[int], T]) -> T:
        """Try until it works, or the patience ends, or the stream does; count the tries."""
        give_up = time.monotonic() + self._settings.stream_patience_seconds
        tries = 0
        while True:
            try:
                return attempt(tries)
            except (*TRANSIENT, PySparkException, ServiceUnavailableError) as error:
                over = self.ending or self.failure() or time.monotonic() > give_up
                if over or not _may_pass(error):
                    raise
                self._metrics.put_off(self._stream.topic)
                log.warning("batch put off", topic=self._stream.topic, because=_first_line(error))
                time.sleep(1)
                tries += 1

    def _publish(self, written: Written) -> None:
        """Show the batch to those who watch; what fails here changes no number."""
        topic, group = self._stream.topic, self._settings.stream_consumer_group
        counted = {step.partition: step.end for step in written.steps}
        self._metrics.batch(topic, written.tallies, counted, written.phases_ms)
        if written.state is not None:
            self._metrics.state(topic, *written.state)
        if group:
            try:
                commit_group(self._bootstrap, group, topic, counted)
            except EncoreError as error:
                log.warning("consumer group not updated", group=group, because=str(error))

    def _stage(
        self,
        batch: DataFrame,
        begins: Mapping[int, int],
        ends: Mapping[int, int],
        before: StagedBatch | None,
    ) -> StagedBatch:
        """Stage on the side that the batch before does not use."""
        side = 0 if before is None else 1 - before.side
        return self._stage_on(side, batch, begins, ends, before)

    def _stage_on(
        self,
        side: int,
        batch: DataFrame,
        begins: Mapping[int, int],
        ends: Mapping[int, int],
        before: StagedBatch | None = None,
    ) -> StagedBatch:
        self.sink.reach("before-staging")
        began = time.monotonic()
        seen, sequel = self._task.seen, self._task.sequel
        task = replace(
            self._task,
            area=self.sink.areas[side],
            recorded=begins,
            seen=seen and replace(seen, before=self._uncommitted(before, SEEN)),
            sequel=sequel and replace(sequel, before=self._uncommitted(before, sequel.of)),
        )
        records = sum(end - begins.get(partition, 0) for partition, end in ends.items())
        rows = batch.coalesce(self._tasks(records)).mapInArrow(task, REPORT).collect()
        self.refuse_another_topic()
        reports = [row.asDict() for row in rows]
        return StagedBatch(
            side,
            begins,
            ends,
            sorted({row["attempt"] for row in reports}),
            tallies_of(reports),
            took_ms=round((time.monotonic() - began) * 1000),
        )

    def _uncommitted(self, before: StagedBatch | None, delta: str) -> Uncommitted | None:
        """Return where the batch that is being merged has rows of a delta."""
        if before is None:
            return None
        return Uncommitted(self.sink.areas[before.side].table(delta), before.attempts)

    def _tasks(self, records: int) -> int:
        if self._stream.horizon is None:
            return 1  # The newest version of an entity is found by looking at all of them.
        cores = self._spark.sparkContext.defaultParallelism
        return max(1, min(cores, records // _RECORDS_A_TASK))

    def refuse_another_topic(self) -> None:
        """Refuse a topic made anew since the start.

        Asked after records were read: as long as the id is the old one then, so were they.

        Raises:
            EncoreError: Kafka has another topic of this name now, or none.
        """
        topic = self._stream.topic
        if topic_ids(self._bootstrap, [topic])[topic] != self._topic_id:
            raise EncoreError(topic_was_recreated(topic))

    def _make_task(self, dies_once: Path | None) -> Task:
        horizon = self._stream.horizon
        seen = None
        if horizon is not None:
            cache = Path(SparkFiles.getRootDirectory()) / "seen"
            seen = SeenIds(self._stream.topic, round(horizon / timedelta(milliseconds=1)), cache)
        return Task(
            topic=self._stream.topic,
            topic_id=self._topic_id,
            decoder=self._stream.decoder,
            deltas=self._stream.deltas,
            sequel=self._stream.sequel,
            seen=seen,
            late_after_ms=round(self._settings.stream_late_after_minutes * 60_000),
            area=self.sink.areas[0],
            dies_once=dies_once,
        )


def _tell(topic: str, number: int, written: Written) -> None:
    steps = written.steps
    log.info(
        "batch committed",
        topic=topic,
        batch=number,
        read=sum(step.read for step in steps),
        accepted=sum(step.accepted for step in steps),
        late=sum(step.late for step in steps),
        duplicate=sum(step.duplicate for step in steps),
        rejected=sum(step.rejected for step in steps),
        ms=dict(written.phases_ms),
    )


def _may_pass(error: BaseException) -> bool:
    """Tell whether time may heal an error; what a task raised comes back as text."""
    if isinstance(error, (*TRANSIENT, ServiceUnavailableError)):
        return True
    return DatabaseAwayError.__name__ in str(error)


def _first_line(error: BaseException) -> str:
    text = str(error)
    if DatabaseAwayError.__name__ in text:
        text = text.rsplit(f"{DatabaseAwayError.__name__}: ", maxsplit=1)[-1]
    return text.strip().splitlines()[0][:300] if text.strip() else type(error).__name__
