"""One topic as a running query: source, the task that does the work, the sink."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from encore.events import EVENT_FIELDS, ITEM_FIELDS, USER_FIELDS, Field, Topics
from encore.log import get_logger
from encore.settings import Settings
from streaming import entities
from streaming.checkpoint import Checkpoint
from streaming.erasing import FINISH, Erasing
from streaming.event_rules import event_rules
from streaming.features.catalogue import FeatureDeltas, HalfLives, feature_targets
from streaming.features.outcomes import (
    IMPRESSIONS,
    OUTCOMES,
    Acts,
    Attribution,
    impressions,
    outcome_targets,
)
from streaming.features.signal import UNUSED, SignalRules
from streaming.metrics import Metrics
from streaming.records import Decoder
from streaming.seen import seen_target
from streaming.sink.merge import Target
from streaming.source import as_text, read_topic
from streaming.startup import beginning
from streaming.task import Deltas, Sequel
from streaming.writer import BatchWriter, Stream

log = get_logger("streaming")


@dataclass(frozen=True, slots=True)
class EventDeltas:
    """Turns accepted events into the deltas of the feature tables, and into impressions."""

    features: FeatureDeltas

    def __call__(self, accepted: pa.Table) -> Mapping[str, pa.Table]:
        """Return the rows for each table."""
        return {**self.features(accepted), IMPRESSIONS: impressions(accepted)}


def event_targets(settings: Settings) -> list[Target]:
    """Return the tables that events are counted into, in the order in which they are merged."""
    features = feature_targets(HalfLives.of(settings))
    return [*features, *outcome_targets(Attribution.of(settings))]


def event_stream(topics: Topics, settings: Settings) -> Stream:
    """Return the stream of events into the feature tables."""
    rules, half_lives = SignalRules.of(settings), HalfLives.of(settings)
    tolerance_ms = round(settings.stream_future_tolerance_minutes * 60_000)
    return Stream(
        topic=topics.events,
        targets=[*event_targets(settings), seen_target()],
        decoder=Decoder(EVENT_FIELDS, event_rules(tolerance_ms), unused=UNUSED),
        deltas=EventDeltas(FeatureDeltas(rules, half_lives)),
        sequel=Sequel(OUTCOMES, of=IMPRESSIONS, rows=Acts(rules)),
        horizon=timedelta(hours=settings.stream_duplicate_horizon_hours),
        last=FINISH,
    )


def user_stream(topics: Topics, bootstrap: str) -> Stream:
    """Return the stream of users into the table of users; who is deleted goes from all tables."""
    targets = entities.user_targets(Erasing(bootstrap, topics.events))
    return _entity_stream(topics.users, USER_FIELDS, "user_id", targets, entities.user_deltas)


def item_stream(topics: Topics) -> Stream:
    """Return the stream of items into the tables of items."""
    return _entity_stream(
        topics.items, ITEM_FIELDS, "item_id", entities.item_targets(), entities.item_deltas
    )


def _entity_stream(
    topic: str, fields: Sequence[Field], key: str, targets: Sequence[Target], deltas: Deltas
) -> Stream:
    return Stream(topic, targets, Decoder(fields, deletes=key), deltas, horizon=None)


class RunningStream:
    """A stream with its sink and checkpoint, ready to start."""

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
        accept_topic_reset: bool = False,
    ) -> None:
        """Open the sink and settle where to begin; ``scratch`` is a folder on the driver.

        Raises:
            EncoreError: the recorded offsets do not fit the topic (see streaming.startup), or
                another job counts it.
        """
        self._spark = spark
        self._topic = stream.topic
        self._bootstrap = bootstrap
        self._settings = settings
        self._query: StreamingQuery | None = None
        self._busy = threading.Lock()
        self._writer = BatchWriter(
            spark,
            stream,
            bootstrap=bootstrap,
            database=database,
            scratch=scratch,
            settings=settings,
            metrics=metrics,
        )
        try:
            recorded = self._writer.sink.open(accept_reset=accept_topic_reset)
            self._beginning = beginning(bootstrap, stream.topic, recorded)
            self._writer.sink.begin(self._beginning)
        except BaseException:
            self._writer.close()  # who is refused does not keep others from counting
            raise
        self._checkpoint = Checkpoint(scratch / stream.topic)

    def start(self, *, available_now: bool) -> None:
        """Start the query; with ``available_now`` it ends with what is in Kafka by now."""
        records = read_topic(
            self._spark,
            self._bootstrap,
            self._topic,
            self._beginning,
            self._settings.stream_max_offsets_per_trigger,
        )
        writer = (
            records.writeStream.queryName(self._topic)
            .option("checkpointLocation", self._checkpoint.location)
            .foreachBatch(self._write_batch)
        )
        log.info("reading", topic=self._topic, offsets=as_text(self._beginning))
        interval = f"{round(self._settings.stream_trigger_seconds * 1000)} milliseconds"
        trigger = {"availableNow": True} if available_now else {"processingTime": interval}
        self._query = writer.trigger(**trigger).start()

    def wait(self) -> None:
        """Wait until the query ends and its last batch is committed; raise what ended it."""
        if self._query is not None:
            self._query.awaitTermination()
        self._writer.settle()

    @property
    def is_active(self) -> bool:
        """Tell whether the query runs, or its last batch is not yet committed."""
        running = self._query is not None and self._query.isActive
        return running or self._writer.is_merging

    def failure(self) -> BaseException | None:
        """Return what ended the query or the merge of a batch, if it failed."""
        return self._writer.failure() or (self._query.exception() if self._query else None)

    def refuse_another_topic(self) -> None:
        """Refuse a topic made anew since the start (see :class:`streaming.writer.BatchWriter`)."""
        self._writer.refuse_another_topic()

    def close(self) -> None:
        """Let the batch in hand end; then end the query, drop staging and checkpoint."""
        self._writer.end()
        with self._busy:
            pass
        # Not under the lock: it waits for Spark's thread, which may be about to ask for it.
        if self._query is not None:
            self._query.stop()
        self._writer.close()
        self._checkpoint.remove()

    def _write_batch(self, batch: DataFrame, number: int) -> None:
        with self._busy:
            if not self._writer.ending:
                self._writer.write(batch, number, self._checkpoint.batch_ends(number))
