"""Retention: old rows of five minutes fold into hours, old hours into days.

Counts of an hour and a day are kept beside those of five minutes from the first event on, so
folding them means to delete the finer ones. Listeners are kept once, by five minutes: folding
lists them by the hour, then by the day, so that distinct listeners of what is left stay exact.
Late events follow: what belongs to folded time is counted at the grain that is left.

Impressions go when nothing can follow them any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from psycopg2 import extensions

from database.engine import transaction
from encore.log import get_logger
from encore.settings import Settings
from streaming.features.outcomes import Attribution

log = get_logger("streaming")

# Impressions are kept a little longer than anything can follow them, so that what counts does not
# depend on when they went, if the clock that stamps arrivals steps back.
_CLOCK_STEP = timedelta(hours=1)

# The moments at which both grains begin, as SQL for the merge: looked up once a statement.
KEPT = {
    "item_counts_5m": "bucket_start >= (SELECT folded_before('5m'))",
    "item_counts_hour": "bucket_start >= (SELECT folded_before('hour'))",
}
LISTENERS_BUCKET = (
    "CASE WHEN bucket_start < (SELECT folded_before('hour')) "
    "THEN date_trunc('day', bucket_start, 'UTC') "
    "WHEN bucket_start < (SELECT folded_before('5m')) "
    "THEN date_trunc('hour', bucket_start, 'UTC') ELSE bucket_start END"
)
_COARSER = {"5m": "hour", "hour": "day"}


@dataclass(frozen=True, slots=True)
class Keep:
    """How long rows of a grain are kept; None for ever."""

    five_minutes: timedelta | None
    hours: timedelta | None

    @classmethod
    def of(cls, settings: Settings) -> "Keep":
        """Take the spans from the settings, where 0 means for ever."""
        return cls(
            _span(settings.feature_keep_5m_days),
            _span(settings.feature_keep_hours_days),
        )


def fold(database: str, topic: str, keep: Keep, now: datetime) -> Mapping[str, int]:
    """Fold what is older than is kept; return how many rows of each table were given up.

    Takes the lock that each commit of the stream takes, so that no batch is merged meanwhile.
    """
    given_up: dict[str, int] = {}
    with transaction(database, application_name="encore-fold") as cursor:
        cursor.execute("SELECT FROM stream_offsets WHERE topic = %s FOR UPDATE", (topic,))
        for grain, span in (("5m", keep.five_minutes), ("hour", keep.hours)):
            if span is not None:
                before = datetime.combine((now - span).astimezone(UTC).date(), time(), UTC)
                given_up |= _fold(cursor, grain, before)
    if any(given_up.values()):
        log.info("folded", **given_up)
    return given_up


def forget_impressions(database: str, topic: str, attribution: Attribution) -> int:
    """Delete the impressions that no play or like to come can belong to; return how many.

    Merges need not wait meanwhile: what they look at is not deleted.
    """
    kept = attribution.window + attribution.lateness + _CLOCK_STEP
    with transaction(database, application_name="encore-fold") as cursor:
        cursor.execute(
            "DELETE FROM impressions AS i USING stream_offsets AS o "
            "WHERE o.topic = %s AND o.closed_at IS NULL AND o.partition = i.partition "
            "AND i.arrived_at < o.arrived_at - %s",
            (topic, kept),
        )
        gone = cursor.rowcount
    if gone:
        log.info("forgot impressions", rows=gone)
    return gone


def _fold(cursor: extensions.cursor, grain: str, before: datetime) -> dict[str, int]:
    cursor.execute(
        "SELECT coalesce(extract(epoch FROM nullif(folded_before(%s), '-infinity')), 0)", (grain,)
    )
    after = datetime.fromtimestamp(float(cursor.fetchall()[0][0]), UTC)
    if after >= before:
        return {}
    cursor.execute(
        "INSERT INTO feature_settings (name, value) VALUES (%s, extract(epoch FROM %s)) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (f"folded_{grain}_before", before),
    )
    table = f"item_counts_{grain}"
    cursor.execute(f"DELETE FROM {table} WHERE bucket_start < %s", (before,))  # noqa: S608
    counts = cursor.rowcount
    # Listed again by the coarser bucket, each listener once.
    cursor.execute(
        "WITH gone AS (DELETE FROM item_listeners "
        "WHERE bucket_start >= %s AND bucket_start < %s RETURNING *) "
        "INSERT INTO item_listeners (item_id, bucket_start, user_ids) "
        "SELECT item_id, date_trunc(%s, bucket_start, 'UTC'), array_agg(DISTINCT listener) "
        "FROM gone CROSS JOIN unnest(user_ids) AS listener GROUP BY 1, 2",
        (after, before, _COARSER[grain]),
    )
    return {table: counts}


def _span(days: float) -> timedelta | None:
    return timedelta(days=days) if days else None
