"""What came of what was shown: impressions, and the plays and likes that follow them.

An act (a play or a like) belongs to the newest impression of its user and item that stands before
it in Kafka, in the same partition, that happened within the window before it, and that arrived no
longer before it than window and lateness together. Newest is by event time, then by offset. The
first play and the first like that belong to an impression are credited to it, in the order of
offsets. None of this depends on where one micro-batch ends and the next begins.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from encore.settings import Settings
from streaming.features.signal import SignalRules, events_of
from streaming.features.times import instants
from streaming.sink.merge import Scripted, Target

IMPRESSIONS = "impressions"
OUTCOMES = "recommendation_outcomes"
_SHOWN = (
    "partition",
    "offset",
    "user_id",
    "item_id",
    "shown_at",
    "arrived_at",
    "model_run_id",
    "variant",
    "source",
    "position",
)
_COUNTED = ("plays", "completes", "skips", "likes")
_ACTS = ("partition", "offset", "user_id", "item_id", "arrived_at", "acted_at", *_COUNTED)

_SHOW = """
WITH shown AS (
  INSERT INTO impressions (partition, "offset", user_id, item_id, shown_at, arrived_at,
                           model_run_id, variant, source, position)
  SELECT partition, "offset", user_id, item_id, shown_at, arrived_at,
         model_run_id, variant, source, position {rows}
  RETURNING date_trunc('hour', shown_at, 'UTC') AS hour, model_run_id, variant, source, position
)
INSERT INTO recommendation_outcomes AS t
       (hour, model_run_id, variant, source, position, impressions)
SELECT hour, model_run_id, variant, source, position, count(*)
  FROM shown GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (hour, model_run_id, variant, source, position)
    DO UPDATE SET impressions = t.impressions + excluded.impressions
"""
# Impressions of the same batch are in their table by now: the order of offsets tells what of a
# batch came first.
_CREDIT = """
WITH acts AS (
  SELECT * {rows}
), attributed AS (
  SELECT DISTINCT ON (a.partition, a."offset")
         i.ctid AS place, date_trunc('hour', i.shown_at, 'UTC') AS hour, i.model_run_id,
         i.variant, i.source, i.position, i.played, i.liked,
         a."offset", a.plays, a.completes, a.skips, a.likes
    FROM acts AS a
    JOIN impressions AS i
      ON (i.user_id, i.item_id, i.partition) = (a.user_id, a.item_id, a.partition)
     AND i."offset" < a."offset"
     AND i.shown_at <= a.acted_at AND i.shown_at > a.acted_at - interval 'WINDOW milliseconds'
     AND i.arrived_at >= a.arrived_at - interval 'KEPT milliseconds'
   ORDER BY a.partition, a."offset", i.shown_at DESC, i."offset" DESC
), credited AS (
  SELECT DISTINCT ON (place, plays) *
    FROM attributed
   WHERE NOT CASE WHEN plays = 1 THEN played ELSE liked END
   ORDER BY place, plays, "offset"
), marked AS (
  UPDATE impressions AS i
     SET played = i.played OR c.played, liked = i.liked OR c.liked
    FROM (SELECT place, bool_or(plays = 1) AS played, bool_or(likes = 1) AS liked
            FROM credited GROUP BY place) AS c
   WHERE i.ctid = c.place
)
INSERT INTO recommendation_outcomes AS t
       (hour, model_run_id, variant, source, position, plays, completes, skips, likes)
SELECT hour, model_run_id, variant, source, position,
       sum(plays), sum(completes), sum(skips), sum(likes)
  FROM credited GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (hour, model_run_id, variant, source, position)
    DO UPDATE SET plays = t.plays + excluded.plays, completes = t.completes + excluded.completes,
                  skips = t.skips + excluded.skips, likes = t.likes + excluded.likes
"""


@dataclass(frozen=True, slots=True)
class Attribution:
    """How long after an impression an act may happen, and how late it may arrive beyond that."""

    window: timedelta
    lateness: timedelta

    @classmethod
    def of(cls, settings: Settings) -> "Attribution":
        """Take the spans from the settings."""
        return cls(
            window=timedelta(hours=settings.feature_outcome_window_hours),
            lateness=timedelta(hours=settings.feature_outcome_lateness_hours),
        )

    def as_settings(self) -> dict[str, float]:
        """Return the settings that stored outcomes depend on, by name."""
        return {
            "feature_outcome_window_hours": self.window / timedelta(hours=1),
            "feature_outcome_lateness_hours": self.lateness / timedelta(hours=1),
        }


def outcome_targets(attribution: Attribution) -> list[Target]:
    """Return where impressions and acts go, in the order in which they are merged."""
    credit = _CREDIT.replace("WINDOW", str(_ms(attribution.window))).replace(
        "KEPT", str(_ms(attribution.window + attribution.lateness))
    )
    extra = {"acted_at": "timestamptz", **dict.fromkeys(_COUNTED, "bigint")}
    return [
        Scripted(IMPRESSIONS, _SHOWN, (_SHOW,), like=IMPRESSIONS),
        Scripted(OUTCOMES, _ACTS, (credit,), like=IMPRESSIONS, extra=extra),
    ]


def impressions(accepted: pa.Table) -> pa.Table:
    """Return the impressions among accepted events, a row each; mostly there is none."""
    shown = accepted.filter(pc.equal(accepted.column("event_type"), "impression"))
    return pa.table(
        {
            **_place(shown),
            "user_id": shown.column("user_id"),
            "item_id": shown.column("item_id"),
            "shown_at": _moments(shown, "event_ts"),
            "arrived_at": _moments(shown, "arrived_ms"),
            "model_run_id": pc.fill_null(shown.column("model_run_id"), 0),
            "variant": pc.fill_null(shown.column("variant"), ""),
            "source": shown.column("source"),
            "position": shown.column("position").cast(pa.int32()),
        }
    )


@dataclass(frozen=True, slots=True)
class Acts:
    """Finds the plays and likes among accepted events, a row each."""

    rules: SignalRules

    def __call__(self, accepted: pa.Table) -> pa.Table:
        """Return the rows."""
        kinds = pc.is_in(accepted.column("event_type"), pa.array(["listen", "like"]))
        acts = accepted.filter(kinds)
        counts = events_of(acts, self.rules).counts
        return pa.table(
            {
                **_place(acts),
                "user_id": acts.column("user_id"),
                "item_id": acts.column("item_id"),
                "arrived_at": _moments(acts, "arrived_ms"),
                "acted_at": _moments(acts, "event_ts"),
                **{name: counts[name] for name in _COUNTED},
            }
        )


def _place(events: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: events.column(name) for name in ("partition", "offset")}


def _moments(events: pa.Table, name: str) -> pa.Array:
    return instants(np.asarray(events.column(name).to_numpy(), np.int64) * 1000)


def _ms(span: timedelta) -> int:
    return round(span / timedelta(milliseconds=1))
