"""Writing the micro-batches of one topic: the task that does the work, the sink, patience."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from pyspark import SparkFiles
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from encore.errors import EncoreError, ServiceUnavailableError
from encore.log import get_logger
from encore.settings import Settings
from encore.topics import commit_group, topic_ids
from streaming.faults import Fault
from streaming.metrics import Metrics
from streaming.records import Decoder
from streaming.rejects import rejected_target
from streaming.seen import SeenIds
from streaming.sink.merge import Target
from streaming.sink.postgres import PostgresSink, StagedBatch, Written, topic_was_recreated
from streaming.sink.staging import TRANSIENT, DatabaseAwayError
from streaming.task import REPORT, Deltas, Task, tallies_of

log = get_logger("streaming")

# Below so many records a second task costs more than it saves.
_RECORDS_A_TASK = 10_000


@dataclass(frozen=True)
class Stream:
    """What is done with one topic: decode, drop repeats within ``horizon`` if given, add up."""

    topic: str
    targets: Sequence[Target]
    decoder: Decoder
    deltas: Deltas
    horizon: timedelta | None


class BatchWriter:
    """Writes frames of records of one topic into the tables, each offset once."""

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
        fault = Fault(settings.stream_fault)
        self.sink = PostgresSink(
            database,
            stream.topic,
            self._topic_id,
            [*stream.targets, rejected_target()],
            lock_timeout_ms=round(settings.stream_lock_timeout_seconds * 1000),
            hook=fault,
        )
        self._task = self._make_task(fault.in_tasks(scratch))

    def end(self) -> None:
        """Try no batch again from now on."""
        self.ending = True

    def write(self, batch: DataFrame, number: int, ends: Mapping[int, int]) -> None:
        """Write the records of a batch that ends before the offsets ``ends``.

        Raises:
            EncoreError: the topic was made anew, or another job counts it.
            psycopg2.Error, PySparkException: it failed for longer than the patience lasts.
        """
        give_up = time.monotonic() + self._settings.stream_patience_seconds
        while True:
            try:
                written = self.sink.write(number, ends, lambda at: self._stage(batch, at, ends))
                break
            except (*TRANSIENT, PySparkException, ServiceUnavailableError) as error:
                if not _may_pass(error) or self.ending or time.monotonic() > give_up:
                    raise
                self._metrics.put_off(self._stream.topic)
                log.warning("batch put off", topic=self._stream.topic, because=_first_line(error))
                time.sleep(1)
        if written is not None:
            _tell(self._stream.topic, number, written)
            self._publish(written)

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
        self, batch: DataFrame, recorded: Mapping[int, int], ends: Mapping[int, int]
    ) -> StagedBatch:
        task = replace(self._task, recorded=recorded)
        records = sum(end - recorded.get(partition, 0) for partition, end in ends.items())
        tasks = self._tasks(records)
        rows = batch.coalesce(tasks).mapInArrow(task, REPORT).collect()
        self.refuse_another_topic()
        reports = [row.asDict() for row in rows]
        return StagedBatch(sorted({row["attempt"] for row in reports}), tallies_of(reports))

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
            seen=seen,
            late_after_ms=round(self._settings.stream_late_after_minutes * 60_000),
            area=self.sink.area,
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
