"""What the feature tables must hold, from accepted events, each as docs/tables.md defines it.

A plain GROUP BY over all events: nothing is merged, so nothing can be merged wrongly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from verification.compare import Check
from verification.errors import ImpossibleError

# As the stream records them in feature_settings, each in the unit of its setting.
BUILT_WITH = (
    "feature_complete_ratio",
    "feature_skip_ratio",
    "weight_like",
    "weight_playlist_add",
    "feature_affinity_half_life_days",
    "feature_trend_half_life_hours",
    "feature_outcome_window_hours",
    "feature_outcome_lateness_hours",
)
LISTENING = (
    "plays",
    "completes",
    "skips",
    "likes",
    "unlikes",
    "dislikes",
    "playlist_adds",
    "ms_played",
)
NEVER_FOLDED = float("-inf")
# Their rows say who did something, and those of deleted users are gone.
PERSONAL = (
    "item_listeners",
    "user_counts_day",
    "user_item_affinity",
    "session_counts",
    "minute_users",
)
_ON_ITEMS = ("listen", "like", "unlike", "dislike", "playlist_add")
_IN_SESSIONS = ("plays", "completes", "skips", "ms_played")
_DIMENSIONS = ("country", "device", "level")


@dataclass(frozen=True, slots=True)
class Rules:
    """What features are built with: where a play is complete or a skip, weights, half-lives.

    ``folded_5m`` and ``folded_hour`` are the moments, in s since 1970, before which rows of that
    grain are folded into the next coarser one. A play or like counts for an impression within
    ``outcome_window`` after it, unless it arrived more than ``outcome_lateness`` beyond that.
    """

    complete_ratio: float
    skip_ratio: float
    like: float
    playlist_add: float
    affinity: timedelta
    trend: timedelta
    folded_5m: float = NEVER_FOLDED
    folded_hour: float = NEVER_FOLDED
    outcome_window: timedelta = timedelta(hours=24)
    outcome_lateness: timedelta = timedelta(hours=24)

    @classmethod
    def of(cls, stored: Mapping[str, float]) -> "Rules":
        """Take the values that the stored features were built with.

        Raises:
            ImpossibleError: the database does not tell one of them.
        """
        lacking = sorted(set(BUILT_WITH) - stored.keys())
        if lacking:
            raise ImpossibleError(
                f"feature_settings does not tell {', '.join(lacking)}, so nothing says what the "
                "features were built with. Start `encore stream`, which records its settings."
            )
        return cls(
            complete_ratio=stored["feature_complete_ratio"],
            skip_ratio=stored["feature_skip_ratio"],
            like=stored["weight_like"],
            playlist_add=stored["weight_playlist_add"],
            affinity=timedelta(days=stored["feature_affinity_half_life_days"]),
            trend=timedelta(hours=stored["feature_trend_half_life_hours"]),
            folded_5m=stored.get("folded_5m_before", NEVER_FOLDED),
            folded_hour=stored.get("folded_hour_before", NEVER_FOLDED),
            outcome_window=timedelta(hours=stored["feature_outcome_window_hours"]),
            outcome_lateness=timedelta(hours=stored["feature_outcome_lateness_hours"]),
        )


@dataclass(frozen=True)
class Feature:
    """A feature table: how it is compared, and how it comes from the events."""

    check: Check
    expected: Callable[[DataFrame], DataFrame]


def features(rules: Rules) -> list[Feature]:
    """Return every feature table."""
    times = ("first_at", "last_at")
    heat = (
        "CASE WHEN stored.score > 0 THEN log2(stored.score) "
        f"+ unix_micros(stored.as_of) / 1e6D / {rules.trend.total_seconds()!r}D END"
    )
    item, bucket = "item_id", "bucket_start"
    session_times = ("started_at", "last_event_at", "logged_out_at")
    return [
        Feature(
            Check("item_counts_5m", (item, bucket), LISTENING),
            lambda events: _counts_by(five_minutes)(events).filter(_kept(rules.folded_5m)),
        ),
        Feature(
            Check("item_counts_hour", (item, bucket), LISTENING),
            lambda events: _counts_by(hour)(events).filter(_kept(rules.folded_hour)),
        ),
        Feature(Check("item_counts_day", (item, bucket), LISTENING), _counts_by(day)),
        Feature(
            Check("item_listeners", (item, bucket, "user_id")),
            lambda events: item_listeners(events, rules),
        ),
        Feature(
            Check("item_trends", ("country", item), ("as_of",), ("score",), derived={"heat": heat}),
            lambda events: item_trends(events, rules.trend),
        ),
        Feature(
            Check("user_counts_day", ("user_id", "day"), ("events", *LISTENING, *times)),
            user_counts_day,
        ),
        Feature(
            Check("user_item_affinity", ("user_id", item), (*LISTENING, *times), ("signal",)),
            lambda events: user_item_affinity(events, rules.affinity),
        ),
        Feature(
            Check(
                "session_counts",
                ("user_id", "session_id"),
                ("events", *_IN_SESSIONS, *session_times),
            ),
            session_counts,
        ),
        Feature(
            Check("platform_activity_minute", ("minute", "event_type", *_DIMENSIONS), ("events",)),
            platform_activity_minute,
        ),
        Feature(Check("minute_users", ("minute", "user_id")), minute_users),
    ]


def with_signal(accepted: DataFrame, rules: Rules, *, keep: Sequence[str] = ()) -> DataFrame:
    """Add ``event_at``, one 0/1 column for each count of :data:`LISTENING`, and ``signal``.

    What the features need of the contract's columns stays, and those of ``keep``.

    ``signal`` is in complete plays: the share of the track played (0 for a skip), and the weights
    of a like, an unlike (negative) and a playlist addition.
    """
    share = F.least(F.lit(1.0), F.col("ms_played") / F.col("duration_ms"))
    play = _is("listen")
    complete = play & (share >= rules.complete_ratio)
    skip = play & (share < rules.skip_ratio)
    signal = (
        F.when(play & ~skip, share)
        .when(_is("like"), F.lit(rules.like))
        .when(_is("unlike"), F.lit(-rules.like))
        .when(_is("playlist_add"), F.lit(rules.playlist_add))
        .otherwise(F.lit(0.0))
    )
    return accepted.select(
        *keep,
        "event_type",
        "user_id",
        "item_id",
        "session_id",
        *_DIMENSIONS,
        F.timestamp_millis("event_ts").alias("event_at"),
        play.cast("int").alias("plays"),
        F.coalesce(complete, F.lit(False)).cast("int").alias("completes"),
        F.coalesce(skip, F.lit(False)).cast("int").alias("skips"),
        _is("like").cast("int").alias("likes"),
        _is("unlike").cast("int").alias("unlikes"),
        _is("dislike").cast("int").alias("dislikes"),
        _is("playlist_add").cast("int").alias("playlist_adds"),
        F.when(play, F.col("ms_played")).otherwise(F.lit(0)).alias("ms_played"),
        signal.alias("signal"),
    )


def five_minutes() -> Column:
    """Return the start of the five minutes of an event."""
    return F.window("event_at", "5 minutes").getField("start")


def hour() -> Column:
    """Return the start of the hour of an event."""
    return F.date_trunc("hour", "event_at")


def day() -> Column:
    """Return the start of the day (UTC) of an event."""
    return F.date_trunc("day", "event_at")


def item_counts(events: DataFrame, bucket: Column) -> DataFrame:
    """Count activity by item and bucket of event time."""
    by = ("item_id", bucket.alias("bucket_start"))
    return _on_items(events).groupBy(*by).agg(*_sums(LISTENING))


def item_listeners(events: DataFrame, rules: Rules) -> DataFrame:
    """List who played which item in which five minutes; hour or day where that is folded."""
    at = F.unix_seconds(five_minutes())
    bucket = (
        F.when(at < rules.folded_hour, day())
        .when(at < rules.folded_5m, hour())
        .otherwise(five_minutes())
        .alias("bucket_start")
    )
    return events.filter("plays = 1").select("item_id", bucket, "user_id").distinct()


def _kept(folded_before: float) -> Column:
    return F.unix_seconds("bucket_start") >= folded_before


def item_trends(events: DataFrame, half_life: timedelta) -> DataFrame:
    """Sum decayed signals by item: everywhere (country '') and in the country of the event."""
    countries = F.array_distinct(F.array(F.lit(""), F.coalesce("country", F.lit(""))))
    signals = (
        _on_items(events)
        .filter("signal <> 0")
        .select("item_id", "signal", "event_at", F.explode(countries).alias("country"))
    )
    by = ("country", "item_id")
    return (
        _decayed(signals, by, half_life)
        .groupBy(*by)
        .agg(F.sum("decayed").alias("score"), F.max("event_at").alias("as_of"))
    )


def user_counts_day(events: DataFrame) -> DataFrame:
    """Count activity by user and day (UTC)."""
    by = ("user_id", F.to_date("event_at").alias("day"))
    return _activity(events).groupBy(*by).agg(_rows(), *_sums(LISTENING), *_first_and_last())


def user_item_affinity(events: DataFrame, half_life: timedelta) -> DataFrame:
    """Sum what a user gave an item: the decayed signal and the counts behind it."""
    by = ("user_id", "item_id")
    return (
        _decayed(_on_items(events), by, half_life)
        .groupBy(*by)
        .agg(F.sum("decayed").alias("signal"), *_sums(LISTENING), *_first_and_last())
    )


def session_counts(events: DataFrame) -> DataFrame:
    """Count what happened in each session, from its first to its last event."""
    logout = F.when(_is("logout"), F.col("event_at"))
    return (
        _activity(events)
        .filter("session_id IS NOT NULL")
        .groupBy("user_id", "session_id")
        .agg(
            _rows(),
            *_sums(_IN_SESSIONS),
            F.min("event_at").alias("started_at"),
            F.max("event_at").alias("last_event_at"),
            F.max(logout).alias("logged_out_at"),
        )
    )


def platform_activity_minute(events: DataFrame) -> DataFrame:
    """Count events by minute, type, country, device and level; empty where not given."""
    given = [F.coalesce(name, F.lit("")).alias(name) for name in _DIMENSIONS]
    return events.groupBy(_minute(), "event_type", *given).agg(_rows())


def minute_users(events: DataFrame) -> DataFrame:
    """List who was active in which minute."""
    return _activity(events).select(_minute(), "user_id").distinct()


def _decayed(signals: DataFrame, by: Sequence[str], half_life: timedelta) -> DataFrame:
    """Add ``decayed``: the signal, halved for every half-life before the group's newest event."""
    newest = F.max("event_at").over(Window.partitionBy(*by))
    age = (_seconds(newest) - _seconds(F.col("event_at"))) / half_life.total_seconds()
    return signals.withColumn("decayed", F.col("signal") * F.pow(F.lit(2.0), -age))


def _counts_by(bucket: Callable[[], Column]) -> Callable[[DataFrame], DataFrame]:
    return lambda events: item_counts(events, bucket())


def _on_items(events: DataFrame) -> DataFrame:
    return events.filter(F.col("event_type").isin(*_ON_ITEMS) & F.col("item_id").isNotNull())


def _activity(events: DataFrame) -> DataFrame:
    """Leave out what is no activity: that something was shown to a user."""
    return events.filter("event_type <> 'impression'")


def _minute() -> Column:
    return F.date_trunc("minute", "event_at").alias("minute")


def _rows() -> Column:
    return F.count(F.lit(1)).alias("events")


def _sums(names: Sequence[str]) -> list[Column]:
    return [F.sum(name).alias(name) for name in names]


def _first_and_last() -> list[Column]:
    return [F.min("event_at").alias("first_at"), F.max("event_at").alias("last_at")]


def _seconds(at: Column) -> Column:
    return F.unix_micros(at) / F.lit(1e6)


def _is(event_type: str) -> Column:
    return F.col("event_type") == event_type
