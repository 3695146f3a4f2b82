"""Which deltas events have, and how each is merged into its table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pyarrow as pa

from encore.settings import Settings
from streaming.erasing import Erased, without
from streaming.features import items, platform, users
from streaming.features.signal import LISTENING, Events, SignalRules, events_of
from streaming.features.times import DAY_US, FIVE_MINUTES_US, HOUR_US
from streaming.folding import KEPT, LISTENERS_BUCKET
from streaming.sink.merge import (
    Add,
    AddDecayed,
    Additive,
    Appended,
    Earliest,
    Heat,
    Latest,
    Rule,
    Target,
)

# Whoever did something gets a new list from `encore live`, if anyone runs it; else the queue stays
# empty. The worker, when it registers, waits for merges that did not see it: the lock that an
# INSERT takes on the table, even one of no rows, is what it waits for.
QUEUE_FOR_LIVE_LISTS = """
WITH queued AS (
  INSERT INTO live_queue (user_id, bucket)
  SELECT u.user_id, live_bucket(u.user_id) FROM (SELECT DISTINCT user_id {rows}) AS u
   WHERE EXISTS (SELECT FROM live_workers WHERE seen_at > now() - interval '1 hour')
  RETURNING 1
)
SELECT pg_notify('encore_live', '') FROM queued LIMIT 1
"""


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


@dataclass(frozen=True, slots=True)
class FeatureDeltas:
    """Turns accepted events, as the columns of the contract, into the delta of each table.

    Those of ``erased`` users count in tables that name nobody only.
    """

    rules: SignalRules
    half_lives: HalfLives
    erased: Erased = field(default_factory=dict)

    def __call__(self, accepted: pa.Table) -> Mapping[str, pa.Table]:
        """Return the rows for each feature table."""
        every = events_of(accepted, self.rules)
        events = _active(every)
        named = without(accepted, self.erased)
        personal = events if named is accepted else _active(events_of(named, self.rules))
        return {
            "item_counts_5m": items.item_counts(events, FIVE_MINUTES_US),
            "item_counts_hour": items.item_counts(events, HOUR_US),
            "item_counts_day": items.item_counts(events, DAY_US),
            "item_listeners": items.item_listeners(personal),
            "item_trends": items.item_trends(events, self.half_lives.trend),
            "user_counts_day": users.user_counts_day(personal),
            "user_item_affinity": users.user_item_affinity(personal, self.half_lives.affinity),
            "session_counts": users.session_counts(personal),
            "platform_activity_minute": platform.platform_activity_minute(every),
            "minute_users": platform.minute_users(personal),
        }


def _active(every: Events) -> Events:
    """Leave out impressions: being shown something is no activity."""
    shown = every.kind.among("impression")
    return every.at(~shown) if shown.any() else every


def feature_targets(half_lives: HalfLives) -> list[Target]:
    """Return the feature tables of events, in the order in which they are merged."""
    counts: dict[str, Rule] = dict.fromkeys(LISTENING, Add())
    by_item = ("item_id", "bucket_start")
    seen: dict[str, Rule] = {"first_at": Earliest(), "last_at": Latest()}
    return [
        Additive("item_counts_5m", by_item, counts, shared=True, only=KEPT["item_counts_5m"]),
        Additive("item_counts_hour", by_item, counts, shared=True, only=KEPT["item_counts_hour"]),
        Additive("item_counts_day", by_item, counts, shared=True),
        Appended(
            "item_listeners", (*by_item, "user_ids"), altered={"bucket_start": LISTENERS_BUCKET}
        ),
        Additive(
            "item_trends", ("country", "item_id"), _trend_rules(half_lives.trend), shared=True
        ),
        Additive("user_counts_day", ("user_id", "day"), {"events": Add(), **counts, **seen}),
        Additive(
            "user_item_affinity",
            ("user_id", "item_id"),
            {"signal": AddDecayed("last_at", half_lives.affinity), **counts, **seen},
            then=(QUEUE_FOR_LIVE_LISTS,),
        ),
        Additive("session_counts", ("user_id", "session_id"), _session_rules()),
        Additive(
            "platform_activity_minute",
            ("minute", "event_type", "country", "device", "level"),
            {"events": Add()},
            shared=True,
        ),
        Appended("minute_users", ("minute", "user_ids")),
    ]


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
