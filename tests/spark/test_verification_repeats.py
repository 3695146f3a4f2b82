"""Which records are duplicates, arrival by arrival."""

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from verification.repeats import repeats

pytestmark = pytest.mark.spark

START = datetime(2026, 11, 1, tzinfo=UTC)
SOURCE = "partition int, offset long, event_id string, arrived_at timestamp"
ONE, OTHER = "0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a11", "1d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a11"
DAY = timedelta(hours=24)


def dropped(spark: SparkSession, *rows: tuple[int, int, str, float]) -> set[tuple[int, int]]:
    """Return the places dropped of rows: partition, offset, id, hours after the start."""
    values = [
        (part, offset, one, START + timedelta(hours=hours)) for part, offset, one, hours in rows
    ]
    found = repeats(spark.createDataFrame(values, SOURCE), DAY).collect()
    return {(row["partition"], row["offset"]) for row in found}


def test_the_horizon_runs_from_the_last_accepted_record(spark: SparkSession) -> None:
    chain = [(0, 1, ONE, 0.0), (0, 2, ONE, 20.0), (0, 3, ONE, 30.0), (0, 4, ONE, 53.0)]
    assert dropped(spark, *chain) == {(0, 2), (0, 4)}


def test_a_repeat_at_the_horizon_is_dropped_and_one_past_it_is_not(spark: SparkSession) -> None:
    just_past = 24.0 + 1 / 3_600_000  # a millisecond
    assert dropped(spark, (0, 1, ONE, 0.0), (0, 2, ONE, 24.0)) == {(0, 2)}
    assert dropped(spark, (0, 1, ONE, 0.0), (0, 2, ONE, just_past)) == set()


def test_case_does_not_matter_and_the_partition_does(spark: SparkSession) -> None:
    rows = [(0, 1, ONE, 0.0), (0, 2, ONE.upper(), 1.0), (1, 5, ONE, 2.0), (0, 3, OTHER, 3.0)]
    assert dropped(spark, *rows) == {(0, 2)}


def test_offsets_are_the_order_even_where_the_senders_clocks_are_not(spark: SparkSession) -> None:
    rows = [(0, 1, ONE, 100.0), (0, 2, ONE, 50.0), (0, 3, ONE, 125.0)]
    assert dropped(spark, *rows) == {(0, 2)}
