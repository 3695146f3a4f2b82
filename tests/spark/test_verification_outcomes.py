"""What must have come of a handful of impressions, computed by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from verification.features import Rules, user_counts_day
from verification.outcomes import expected_outcomes

pytestmark = pytest.mark.spark

HOUR = timedelta(hours=1)
RULES = Rules(
    complete_ratio=0.9, skip_ratio=0.3, like=2.0, playlist_add=3.0, affinity=HOUR, trend=HOUR,
    outcome_window=2 * HOUR, outcome_lateness=HOUR,
)  # fmt: skip
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SCHEMA = (
    "partition int, offset long, event_type string, item_id string, event_at timestamp, "
    "arrived_at timestamp, position long, model_run_id long, variant string, "
    "plays int, completes int, skips int, likes int, user_id string, source string, erased boolean"
)
SHOWN, PLAY, SKIP, LIKE = (
    ("impression", 0, 0, 0, 0), ("listen", 1, 1, 0, 0), ("listen", 1, 0, 1, 0), ("like", 0, 0, 0, 1)
)  # fmt: skip
Kind = tuple[str, int, int, int, int]


def row(
    offset: int,
    kind: Kind,
    minutes: float,
    *,
    item: str = "t1",
    late: float = 0,
    partition: int = 0,
    erased: bool = False,
) -> tuple[object, ...]:
    """Return an event so many minutes after noon, which arrives so many minutes later."""
    at = NOON + timedelta(minutes=minutes)
    position, run = (1, 7) if kind is SHOWN else (None, None)
    arrived = at + timedelta(minutes=late)
    return (partition, offset, kind[0], item, at, arrived, position, run, None, *kind[1:],
            "u1", "personal", erased)  # fmt: skip


def test_the_first_play_and_like_that_belong_to_an_impression_count_for_it(
    spark: SparkSession,
) -> None:
    rows = [
        row(0, PLAY, 5, late=60),  # stands before it in Kafka
        row(1, SHOWN, 0),
        row(2, SKIP, 119),  # the first that belongs to it
        row(3, PLAY, 10),
        row(4, LIKE, 120),  # not within two hours
        row(5, SHOWN, 60),
        row(6, LIKE, 60),  # of the newer one
        row(7, PLAY, 59, late=122),  # of the older one, which has a play
        row(8, PLAY, 61, item="t2"),
        row(9, SHOWN, 61, item="t2", partition=1),
        row(10, PLAY, 62, item="t2"),  # in another partition
        row(11, SHOWN, 0, item="t3"),
        row(12, PLAY, 0, item="t3", late=181),  # arrives too late
        row(13, SHOWN, 0, item="t4", erased=True),
        row(14, PLAY, 1, item="t4", erased=True),
        row(15, LIKE, 2, item="t4"),  # after the listener was deleted, and the impression with them
    ]
    expected = expected_outcomes(spark.createDataFrame(rows, SCHEMA), RULES)
    found = {(one.hour, one.model_run_id, one.variant, one.position): one[5:] for one in
             expected.collect()}  # fmt: skip
    one_o_clock = NOON + HOUR
    assert {(key[0].astimezone(UTC), *key[1:]): tuple(counts) for key, counts in found.items()} == {
        (NOON, 7, "", 1): (3, 2, 1, 1, 0),
        (one_o_clock, 7, "", 1): (2, 0, 0, 0, 1),
    }


def test_an_impression_is_no_activity(spark: SparkSession) -> None:
    zeros = [f"0 AS {name}" for name in ("unlikes", "dislikes", "playlist_adds", "ms_played")]
    shown = spark.createDataFrame([row(0, SHOWN, 0)], SCHEMA).selectExpr("*", *zeros)
    assert user_counts_day(shown).count() == 0
