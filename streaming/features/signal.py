"""What an event says of a listener and an item, as columns that every feature adds up.

The one definition of complete, partial, skip and signal: see docs/tables.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from encore.settings import Settings

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


@dataclass(frozen=True, slots=True)
class SignalRules:
    """Where a play counts as complete or skipped, and what the other acts weigh."""

    complete_ratio: float
    skip_ratio: float
    like: float
    playlist_add: float

    @classmethod
    def of(cls, settings: Settings) -> "SignalRules":
        """Take the rules from the settings."""
        return cls(
            complete_ratio=settings.feature_complete_ratio,
            skip_ratio=settings.feature_skip_ratio,
            like=settings.weight_like,
            playlist_add=settings.weight_playlist_add,
        )

    def as_settings(self) -> Mapping[str, float]:
        """Return the settings that stored features depend on, by name."""
        return {
            "feature_complete_ratio": self.complete_ratio,
            "feature_skip_ratio": self.skip_ratio,
            "weight_like": self.like,
            "weight_playlist_add": self.playlist_add,
        }


def with_signal(accepted: DataFrame, rules: SignalRules) -> DataFrame:
    """Add ``event_at``, one 0/1 column for each count of :data:`LISTENING`, and ``signal``.

    Expects the columns of the event contract. ``signal`` is in complete plays: the share of the
    track played (0 for a skip), and the weights of a like, an unlike (negative) and a playlist
    addition.
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
        "partition",
        "event_type",
        "user_id",
        "item_id",
        "session_id",
        "country",
        "device",
        "level",
        F.timestamp_millis("event_ts").alias("event_at"),
        _one(play).alias("plays"),
        _one(complete).alias("completes"),
        _one(skip).alias("skips"),
        _one(_is("like")).alias("likes"),
        _one(_is("unlike")).alias("unlikes"),
        _one(_is("dislike")).alias("dislikes"),
        _one(_is("playlist_add")).alias("playlist_adds"),
        F.when(play, F.col("ms_played")).otherwise(F.lit(0)).alias("ms_played"),
        signal.alias("signal"),
    )


def on_items(events: DataFrame) -> DataFrame:
    """Keep the events that say something of an item."""
    acts = ("listen", "like", "unlike", "dislike", "playlist_add")
    return events.filter(F.col("event_type").isin(*acts) & F.col("item_id").isNotNull())


def sums(*names: str) -> list[Column]:
    """Return the sum of each column under its own name."""
    return [F.sum(name).cast("long").alias(name) for name in names]


def _is(event_type: str) -> Column:
    return F.col("event_type") == event_type


def _one(condition: Column) -> Column:
    return F.when(condition, F.lit(1)).otherwise(F.lit(0))
