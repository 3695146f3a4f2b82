"""What each feature table must hold for a handful of events, computed by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from encore.events import EVENT_FIELDS
from verification import features
from verification.contract import spark_schema
from verification.features import Rules, with_signal

pytestmark = pytest.mark.spark

HOUR = timedelta(hours=1)
RULES = Rules(
    complete_ratio=0.9, skip_ratio=0.3, like=2.0, playlist_add=3.0, affinity=HOUR, trend=HOUR
)
COUNTS = "plays long, completes long, skips long, likes long, unlikes long, dislikes long, "
COUNTS += "playlist_adds long, ms_played long"


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, 1, hour, minute, second, tzinfo=UTC)


def event(event_type: str, when: datetime, user: str = "u1", **more: Any) -> dict[str, Any]:
    listen = {"duration_ms": 200_000} if event_type == "listen" else {}
    return {
        "event_type": event_type,
        "event_ts": int(when.timestamp() * 1000),
        "user_id": user,
        "item_id": "t1",
        **listen,
        **more,
    }


def events_of(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    schema = spark_schema(EVENT_FIELDS)
    values = [tuple(row.get(field.name) for field in schema.fields) for row in rows]
    return with_signal(spark.createDataFrame(values, schema), RULES)


def assert_rows(actual: DataFrame, rows: list[tuple[Any, ...]], schema: str) -> None:
    expected = actual.sparkSession.createDataFrame(rows, schema)
    assert_df_equality(
        actual, expected, ignore_row_order=True, ignore_column_order=True, ignore_nullable=True
    )


def test_a_play_is_complete_partial_or_a_skip_by_the_share_played(spark: SparkSession) -> None:
    played = (0, 59_999, 60_000, 179_999, 180_000, 400_000)
    rows = events_of(spark, *(event("listen", at(1), ms_played=ms) for ms in played)).collect()
    assert [(row.completes, row.skips) for row in rows] == [
        (0, 1), (0, 1), (0, 0), (0, 0), (1, 0), (1, 0),
    ]  # fmt: skip
    assert [row.signal for row in rows] == [0.0, 0.0, 0.3, 0.899995, 0.9, 1.0]


def test_likes_and_playlists_weigh_and_a_dislike_does_not(spark: SparkSession) -> None:
    acts = ("like", "unlike", "dislike", "playlist_add", "page_view")
    rows = events_of(spark, *(event(act, at(1)) for act in acts)).collect()
    assert [row.signal for row in rows] == [2.0, -2.0, 0.0, 3.0, 0.0]


def test_items_are_counted_by_five_minutes_of_event_time(spark: SparkSession) -> None:
    events = events_of(
        spark,
        event("listen", at(1, 4, 59), ms_played=200_000),
        event("listen", at(1, 5, 0), ms_played=20_000),
        event("like", at(1, 9, 59)),
        event("page_view", at(1, 9, 59)),
    )
    assert_rows(
        features.item_counts(events, features.five_minutes()),
        [
            ("t1", at(1, 0), 1, 1, 0, 0, 0, 0, 0, 200_000),
            ("t1", at(1, 5), 1, 0, 1, 1, 0, 0, 0, 20_000),
        ],
        f"item_id string, bucket_start timestamp, {COUNTS}",
    )


def test_hours_and_days_are_those_of_utc(spark: SparkSession) -> None:
    events = events_of(spark, event("like", at(0, 59)), event("dislike", at(23, 59)))
    assert_rows(
        features.item_counts(events, features.hour()),
        [
            ("t1", at(0), 0, 0, 0, 1, 0, 0, 0, 0),
            ("t1", at(23), 0, 0, 0, 0, 0, 1, 0, 0),
        ],
        f"item_id string, bucket_start timestamp, {COUNTS}",
    )
    assert_rows(
        features.item_counts(events, features.day()),
        [("t1", at(0), 0, 0, 0, 1, 0, 1, 0, 0)],
        f"item_id string, bucket_start timestamp, {COUNTS}",
    )


def test_a_listener_is_listed_once_in_five_minutes_and_only_for_plays(spark: SparkSession) -> None:
    events = events_of(
        spark,
        event("listen", at(1, 0), ms_played=1),
        event("listen", at(1, 4), ms_played=1),
        event("listen", at(1, 5), "u2", ms_played=1),
        event("like", at(1, 5), "u3"),
    )
    assert_rows(
        features.item_listeners(events, RULES),
        [("t1", at(1, 0), "u1"), ("t1", at(1, 5), "u2")],
        "item_id string, bucket_start timestamp, user_id string",
    )


def test_a_trend_halves_in_its_half_life_here_and_everywhere(spark: SparkSession) -> None:
    events = events_of(
        spark,
        event("listen", at(1), ms_played=200_000, country="AT"),
        event("like", at(3), country="DE"),
        event("listen", at(3), ms_played=1, country="FR"),  # a skip adds nothing
        event("like", at(2), "u2"),
    )
    found = features.item_trends(events, HOUR).collect()
    assert {(row.country, row.item_id): row.score for row in found} == pytest.approx(
        {("", "t1"): 1 / 4 + 2 + 2 / 2, ("AT", "t1"): 1.0, ("DE", "t1"): 2.0}
    )


def test_a_trend_over_years_neither_overflows_nor_vanishes(spark: SparkSession) -> None:
    long_ago = datetime(2018, 11, 1, tzinfo=UTC)
    events = events_of(
        spark,
        event("like", long_ago, item_id="old"),
        event("like", long_ago - HOUR, item_id="old"),
        event("like", at(1), item_id="new"),
        event("like", long_ago, item_id="both"),
        event("like", at(1), item_id="both"),
    )
    found = features.item_trends(events, HOUR).collect()
    assert {row.item_id: row.score for row in found} == pytest.approx(
        {"old": 3.0, "new": 2.0, "both": 2.0}
    )


def test_affinity_adds_up_what_a_user_gave_an_item(spark: SparkSession) -> None:
    events = events_of(
        spark,
        event("listen", at(1), ms_played=100_000),
        event("playlist_add", at(2)),
        event("listen", at(2), "u2", ms_played=2_000),
    )
    found = features.user_item_affinity(events, HOUR)
    assert_rows(
        found,
        [
            ("u1", "t1", 0.5 / 2 + 3.0, 1, 0, 0, 0, 0, 0, 1, 100_000, at(1), at(2)),
            ("u2", "t1", 0.0, 1, 0, 1, 0, 0, 0, 0, 2_000, at(2), at(2)),
        ],
        f"user_id string, item_id string, signal double, {COUNTS}, "
        "first_at timestamp, last_at timestamp",
    )


def test_a_users_day_counts_every_event(spark: SparkSession) -> None:
    events = events_of(
        spark,
        event("login", at(1), item_id=None),
        event("listen", at(2), ms_played=10),
        event("like", datetime(2026, 11, 2, tzinfo=UTC)),
    )
    assert_rows(
        features.user_counts_day(events),
        [
            ("u1", date(2026, 11, 1), 2, 1, 0, 1, 0, 0, 0, 0, 10, at(1), at(2)),
            (
                "u1",
                date(2026, 11, 2),
                1,
                *(0, 0, 0, 1, 0, 0, 0, 0),
                datetime(2026, 11, 2, tzinfo=UTC),
                datetime(2026, 11, 2, tzinfo=UTC),
            ),
        ],
        f"user_id string, day date, events long, {COUNTS}, first_at timestamp, last_at timestamp",
    )


def test_a_session_runs_from_its_first_to_its_last_event(spark: SparkSession) -> None:
    events = events_of(
        spark,
        event("login", at(1), session_id="s1"),
        event("listen", at(2), session_id="s1", ms_played=200_000),
        event("logout", at(3), session_id="s1"),
        event("page_view", at(4), session_id="s2"),
        event("page_view", at(5)),
    )
    assert_rows(
        features.session_counts(events),
        [
            ("u1", "s1", 3, 1, 1, 0, 200_000, at(1), at(3), at(3)),
            ("u1", "s2", 1, 0, 0, 0, 0, at(4), at(4), None),
        ],
        "user_id string, session_id string, events long, plays long, completes long, skips long, "
        "ms_played long, started_at timestamp, last_event_at timestamp, logged_out_at timestamp",
    )


def test_the_platform_is_counted_by_minute_and_by_what_is_known(spark: SparkSession) -> None:
    events = events_of(
        spark,
        event("login", at(1, 0, 1), country="AT", device="phone", level="free"),
        event("login", at(1, 0, 59), country="AT", device="phone", level="free"),
        event("login", at(1, 1)),
    )
    assert_rows(
        features.platform_activity_minute(events),
        [(at(1), "login", "AT", "phone", "free", 2), (at(1, 1), "login", "", "", "", 1)],
        "minute timestamp, event_type string, country string, device string, level string, "
        "events long",
    )
    assert_rows(
        features.minute_users(events),
        [(at(1), "u1"), (at(1, 1), "u1")],
        "minute timestamp, user_id string",
    )
