"""One topic as a running query: source, parse, check, deduplicate, deltas, sink."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from encore.events import EVENT_FIELDS, ITEM_FIELDS, USER_FIELDS, Field, Topics
from encore.log import get_logger
from encore.settings import Settings
from streaming import entities
from streaming.checkpoint import Checkpoint
from streaming.deduplicate import drop_duplicates
from streaming.features.catalogue import HalfLives, feature_deltas, feature_targets
from streaming.features.signal import SignalRules, with_signal
from streaming.parse import check, event_rules, parse
from streaming.rejects import REJECTED, rejected_rows, rejected_target
from streaming.sink.merge import Target
from streaming.sink.postgres import Deltas, PostgresSink
from streaming.sink.progress import Recorded, Tally
from streaming.source import read_topic
from streaming.startup import beginning, checkpoint_location, describe, mistrust

log = get_logger("streaming")

Transform = Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class Bounds:
    """The oldest and newest event time of a batch's accepted records."""

    oldest: datetime
    newest: datetime


@dataclass(frozen=True)
class Stream:
    """What is done with one topic.

    ``prepare`` goes from Kafka's records to checked ones and is the streaming part; ``deltas``
    goes from a micro-batch's accepted records to the rows for each target. ``happened_at`` says
    when a record happened, NULL where that is not known.
    """

    topic: str
    targets: Sequence[Target]
    prepare: Transform
    deltas: Callable[[DataFrame, Bounds], Mapping[str, DataFrame]]
    happened_at: Column
    compacted: bool


def event_stream(topics: Topics, settings: Settings) -> Stream:
    """Return the stream of events into the feature tables."""
    rules, half_lives = SignalRules.of(settings), HalfLives.of(settings)
    tolerance_ms = round(settings.stream_future_tolerance_minutes * 60_000)
    horizon = timedelta(hours=settings.stream_duplicate_horizon_hours)

    def prepare(records: DataFrame) -> DataFrame:
        checked = check(parse(records, EVENT_FIELDS), EVENT_FIELDS, rules=event_rules(tolerance_ms))
        return drop_duplicates(checked, horizon)

    def deltas(accepted: DataFrame, bounds: Bounds) -> Mapping[str, DataFrame]:
        events = with_signal(accepted, rules)
        return feature_deltas(events, half_lives, bounds.oldest, bounds.newest)

    return Stream(
        topic=topics.events,
        targets=feature_targets(half_lives),
        prepare=prepare,
        deltas=deltas,
        happened_at=F.timestamp_millis("event_ts"),
        compacted=False,
    )


def user_stream(topics: Topics) -> Stream:
    """Return the stream of users into the table of users."""
    return _entity_stream(
        topics.users, USER_FIELDS, "user_id", entities.user_targets(), entities.user_deltas
    )


def item_stream(topics: Topics) -> Stream:
    """Return the stream of items into the tables of items."""
    return _entity_stream(
        topics.items, ITEM_FIELDS, "item_id", entities.item_targets(), entities.item_deltas
    )


def _entity_stream(
    topic: str,
    fields: Sequence[Field],
    key: str,
    targets: Sequence[Target],
    deltas: Callable[[DataFrame], Mapping[str, DataFrame]],
) -> Stream:
    def prepare(records: DataFrame) -> DataFrame:
        return entities.with_tombstones(check(parse(records, fields), fields), key)

    return Stream(
        topic=topic,
        targets=targets,
        prepare=prepare,
        deltas=lambda accepted, _: deltas(accepted),
        happened_at=F.lit(None).cast("timestamp"),
        compacted=True,
    )


class RunningStream:
    """A stream with its sink and checkpoint, ready to start."""

    def __init__(
        self,
        spark: SparkSession,
        stream: Stream,
        *,
        bootstrap: str,
        database: str,
        topic_id: str,
        checkpoints: str,
        settings: Settings,
    ) -> None:
        """Open the sink and settle where to begin.

        Raises:
            EncoreError: the recorded offsets do not fit the topic (see streaming.startup).
        """
        self._spark = spark
        self._stream = stream
        self._bootstrap = bootstrap
        self._topic_id = topic_id
        self._settings = settings
        self._horizon = timedelta(hours=settings.stream_duplicate_horizon_hours)
        targets = [*stream.targets, rejected_target()]
        self._sink = PostgresSink(
            database, stream.topic, topic_id, targets, compacted=stream.compacted
        )
        recorded = self._sink.open()
        location = checkpoint_location(
            checkpoints, stream.topic, topic_id, settings.stream_shuffle_partitions
        )
        self._ends: Mapping[int, int] | None = None
        self._checkpoint = Checkpoint(spark, location, stream.topic)
        self._set_aside_if_mistrusted(recorded)
        self._beginning = beginning(bootstrap, stream.topic, recorded, self._horizon)
        self._sink.begin(self._beginning.counting)

    def start(self, *, available_now: bool) -> StreamingQuery:
        """Start the query; with ``available_now`` it ends with what is in Kafka by now."""
        records = read_topic(
            self._spark,
            self._bootstrap,
            self._stream.topic,
            self._beginning.reading,
            self._settings.stream_max_offsets_per_trigger,
        )
        writer = (
            self._stream.prepare(records)
            .writeStream.queryName(self._stream.topic)
            .option("checkpointLocation", self._checkpoint.location)
            .foreachBatch(self._write_batch)
        )
        log.info(
            "reading",
            topic=self._stream.topic,
            checkpoint=self._checkpoint.location,
            without_checkpoint_from=describe(self._beginning),
        )
        if available_now:
            return writer.trigger(availableNow=True).start()
        interval = f"{round(self._settings.stream_trigger_seconds * 1000)} milliseconds"
        return writer.trigger(processingTime=interval).start()

    def close(self) -> None:
        """Drop the staging tables."""
        self._sink.close()

    def _set_aside_if_mistrusted(self, recorded: Mapping[int, Recorded]) -> None:
        now = datetime.now(UTC)
        why = mistrust(self._checkpoint, recorded, self._horizon, now)
        if why:
            aside = self._checkpoint.set_aside(now.strftime("aside-%Y%m%dT%H%M%S.%f"))
            log.warning("checkpoint set aside", because=why, now_at=aside)

    def _write_batch(self, batch: DataFrame, number: int) -> None:
        ends = self._checkpoint.batch_ends(number)
        held: list[DataFrame] = []

        def compute(recorded: Mapping[int, int]) -> Deltas:
            # Mostly a batch begins where the last one ended. A filter would change with each,
            # and Spark would compile the whole plan again.
            fresh = batch if recorded == self._ends else batch.filter(_uncounted(recorded))
            held.append(fresh.localCheckpoint(eager=False))
            return self._compute(held[-1])

        try:
            self._sink.write(number, ends, compute)
            self._ends = ends
        finally:
            for frame in held:
                _release(frame)

    def _compute(self, fresh: DataFrame) -> Deltas:
        tallies, bounds = self._tally(fresh)
        accepted = fresh.filter(F.col("reason").isNull())
        frames = {
            **self._stream.deltas(accepted, bounds),
            REJECTED: rejected_rows(fresh, self._stream.topic, self._topic_id),
        }
        return Deltas(tallies, frames)

    def _tally(self, fresh: DataFrame) -> tuple[list[Tally], Bounds]:
        late_after = F.expr(
            f"INTERVAL {round(self._settings.stream_late_after_minutes * 60)} SECONDS"
        )
        accepted = F.col("reason").isNull()
        late = accepted & (F.col("arrived_at") - self._stream.happened_at >= late_after)
        rows = (
            fresh.groupBy("partition")
            .agg(
                F.count_if(accepted).alias("accepted"),
                F.count_if(late).alias("late"),
                F.count_if(~accepted).alias("rejected"),
                F.min(F.unix_millis(self._stream.happened_at)).alias("oldest"),
                F.max(F.unix_millis(self._stream.happened_at)).alias("newest"),
                F.max(F.unix_micros("arrived_at")).alias("arrived_us"),
            )
            .collect()
        )
        tallies = [
            Tally(row.partition, row.accepted, row.late, row.rejected, _utc(row.arrived_us))
            for row in rows
        ]
        return tallies, _bounds([row.oldest for row in rows], [row.newest for row in rows])


def _release(frame: DataFrame) -> None:
    """Give back the blocks of a local checkpoint, which Spark keeps until some later collection."""
    frame._jdf.queryExecution().logical().rdd().unpersist(False)


def _uncounted(recorded: Mapping[int, int]) -> Column:
    """Return whether a record lies at or after its partition's recorded offset."""
    counted = F.lit(False)
    for partition, offset in recorded.items():
        counted = counted | ((F.col("partition") == partition) & (F.col("offset") < offset))
    return ~counted


def _bounds(oldest: Sequence[int | None], newest: Sequence[int | None]) -> Bounds:
    known_oldest = [one for one in oldest if one is not None]
    known_newest = [one for one in newest if one is not None]
    if not known_oldest:
        now = datetime.now(UTC)
        return Bounds(now, now)
    return Bounds(_utc(min(known_oldest) * 1000), _utc(max(known_newest) * 1000))


def _utc(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
