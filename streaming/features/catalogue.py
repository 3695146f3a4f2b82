"""Which deltas a micro-batch of events has, and how each is merged into its table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import DataFrame

from encore.settings import Settings
from streaming.features import items, platform, users
from streaming.features.decay import spans
from streaming.features.signal import LISTENING
from streaming.sink.merge import Add, AddDecayed, Additive, Earliest, Heat, Latest, Rule, Target


@dataclass(frozen=True, slots=True)
class HalfLives:
    """In which time a signal halves."""

    affinity: timedelta
    trend: timedelta

    @classmethod
    def of(cls, settings: Settings) -> "HalfLives":
        """Take the half-lives from the settings."""
        return cls(
            affinity=timedelta(days=settings.feature_affinity_half_life_days),
            trend=timedelta(hours=settings.feature_trend_half_life_hours),
        )


def feature_targets(half_lives: HalfLives) -> list[Target]:
    """Return the feature tables of events, in the order in which they are merged."""
    counts: dict[str, Rule] = dict.fromkeys(LISTENING, Add())
    seen: dict[str, Rule] = {"first_at": Earliest(), "last_at": Latest()}
    return [
        Additive("item_counts_5m", ("item_id", "bucket_start"), counts),
        Additive("item_counts_hour", ("item_id", "bucket_start"), counts),
        Additive("item_counts_day", ("item_id", "bucket_start"), counts),
        Additive("item_listeners", ("item_id", "bucket_start", "user_id"), {}),
        Additive("item_trends", ("country", "item_id"), _trend_rules(half_lives.trend)),
        Additive("user_counts_day", ("user_id", "day"), {"events": Add(), **counts, **seen}),
        Additive(
            "user_item_affinity",
            ("user_id", "item_id"),
            {"signal": AddDecayed("last_at", half_lives.affinity), **counts, **seen},
        ),
        Additive("session_counts", ("user_id", "session_id"), _session_rules()),
        Additive(
            "platform_activity_minute",
            ("minute", "event_type", "country", "device", "level"),
            {"events": Add()},
        ),
        Additive("minute_users", ("minute", "user_id"), {}),
    ]


def feature_deltas(
    events: DataFrame, half_lives: HalfLives, oldest: datetime, newest: datetime
) -> Mapping[str, DataFrame]:
    """Return the delta of each feature table; ``oldest`` and ``newest`` bound the event times."""
    affinity_spans = spans(oldest, newest, half_lives.affinity)
    trend_spans = spans(oldest, newest, half_lives.trend)
    return {
        "item_counts_5m": items.item_counts(events, items.five_minutes()),
        "item_counts_hour": items.item_counts(events, items.hour()),
        "item_counts_day": items.item_counts(events, items.day()),
        "item_listeners": items.item_listeners(events),
        "item_trends": items.item_trends(events, half_lives.trend, trend_spans),
        "user_counts_day": users.user_counts_day(events),
        "user_item_affinity": users.user_item_affinity(events, half_lives.affinity, affinity_spans),
        "session_counts": users.session_counts(events),
        "platform_activity_minute": platform.platform_activity_minute(events),
        "minute_users": platform.minute_users(events),
    }


def _trend_rules(half_life: timedelta) -> dict[str, Rule]:
    return {
        "score": AddDecayed("as_of", half_life),
        "as_of": Latest(),
        "heat": Heat("score", "as_of", half_life),
    }


def _session_rules() -> dict[str, Rule]:
    counted: Sequence[str] = ("events", "plays", "completes", "skips", "ms_played")
    return {
        **dict.fromkeys(counted, Add()),
        "started_at": Earliest(),
        "last_event_at": Latest(),
        "logged_out_at": Latest(),
    }
