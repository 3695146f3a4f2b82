"""The events topic, read once: what became of each record by the rules of the contract."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encore.events import EVENT_FIELDS
from encore.settings import Settings
from verification.features import Rules, with_signal
from verification.outcomes import OF_OUTCOMES, PLACED
from verification.parse import check, event_rules, parse
from verification.repeats import repeats

# What is held of the events spills to disk, so that memory bounds nothing but speed.
HELD = StorageLevel.MEMORY_AND_DISK
_FIELDS = (
    "event_type",
    "event_ts",
    "user_id",
    "item_id",
    "session_id",
    "duration_ms",
    "ms_played",
    "country",
    "device",
    "level",
    "position",
    "source",
    "model_run_id",
    "variant",
)
_REJECTED = ("partition", "offset", "reason", "field", "key", "value", "arrived_at")


@dataclass(frozen=True, slots=True)
class Fates:
    """How many records of a partition were found, and what became of them."""

    found: int
    accepted: int
    late: int
    rejected: int


@dataclass(frozen=True)
class JudgedEvents:
    """The records of the events topic: those that count, those that do not, and the numbers.

    ``shown`` are the impressions, plays and likes among those that count, with their places.
    """

    counting: DataFrame
    shown: DataFrame
    rejected: DataFrame
    fates: Mapping[int, Fates]


def judge_events(
    records: DataFrame,
    settings: Settings,
    rules: Rules,
    erased: Mapping[str, Mapping[int, int]] | None = None,
) -> JudgedEvents:
    """Check every record, leave out the repeats, and hold what remains.

    ``records`` are those of the topic: key, value, partition, offset, arrived_at. What remains has
    ``erased``: whether its user was deleted since (see :class:`verification.books.Books`).
    """
    tolerance_ms = round(settings.stream_future_tolerance_minutes * 60_000)
    rules_of_types = event_rules(tolerance_ms)
    checked = check(parse(records, EVENT_FIELDS), EVENT_FIELDS, rules=rules_of_types)
    checked = checked.select(*_REJECTED, "event_id", *_FIELDS).persist(HELD)
    valid = checked.filter("reason IS NULL")
    horizon = timedelta(hours=settings.stream_duplicate_horizon_hours)
    dropped = repeats(valid, horizon).persist(HELD)
    dropped.count()  # its size is known now, so that a small one is sent to the events
    late_ms = round(settings.stream_late_after_minutes * 60_000)
    late = F.unix_millis("arrived_at") - F.col("event_ts") >= late_ms
    accepted = valid.join(dropped, ["partition", "offset"], "left_anti").withColumn("late", late)
    marked = _with_erased(accepted, erased or {})
    counting = with_signal(marked, rules, keep=("partition", "late", "erased")).persist(HELD)
    return JudgedEvents(
        counting=counting,
        shown=with_signal(marked.filter(OF_OUTCOMES), rules, keep=(*PLACED, "erased")),
        rejected=checked.filter("reason IS NOT NULL").select(*_REJECTED),
        # This goes over all of them, so that they are held before two tables ask at a time.
        fates=_fates(checked, counting),
    )


def _with_erased(accepted: DataFrame, erased: Mapping[str, Mapping[int, int]]) -> DataFrame:
    rows = [(digest, part, end) for digest, ends in erased.items() for part, end in ends.items()]
    if not rows:
        return accepted.withColumn("erased", F.lit(False))
    places = accepted.sparkSession.createDataFrame(
        rows, "digest string, partition int, erased_upto long"
    )
    by_digest = accepted.withColumn("digest", F.sha2("user_id", 256))
    joined = by_digest.join(F.broadcast(places), ["digest", "partition"], "left")
    gone = F.coalesce(F.col("offset") < F.col("erased_upto"), F.lit(False))
    return joined.withColumn("erased", gone)


def _fates(checked: DataFrame, counting: DataFrame) -> dict[int, Fates]:
    found = checked.groupBy("partition").agg(
        F.count(F.lit(1)).alias("found"), F.count_if(F.col("reason").isNotNull()).alias("rejected")
    )
    counted = counting.groupBy("partition").agg(
        F.count(F.lit(1)).alias("accepted"), F.count_if("late").alias("late")
    )
    rows = found.join(counted, "partition", "left").fillna(0).collect()
    return {
        row["partition"]: Fates(row["found"], row["accepted"], row["late"], row["rejected"])
        for row in rows
    }
