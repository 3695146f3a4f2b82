"""Comparing tables row by row: what counts as equal, and how a difference is told."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from verification.compare import Check, Finding, compare

pytestmark = pytest.mark.spark

AT = datetime(2026, 11, 1, tzinfo=UTC)
CHECK = Check("plays", ("item", "at"), ("plays", "name"), ("score",))
COLUMNS = "item string, at timestamp, plays long, name string, score double"


def compared(spark: SparkSession, expected: list[Any], stored: list[Any]) -> Finding:
    return compare(
        CHECK, spark.createDataFrame(expected, COLUMNS), spark.createDataFrame(stored, COLUMNS)
    )


def test_each_kind_of_difference_is_counted_and_told(spark: SparkSession) -> None:
    expected = [("a", AT, 1, "x", 1.0), ("b", AT, 1, None, 1.0), ("c", AT, 1, "x", 1.0)]
    stored = [("b", AT, 2, "", 1.1), ("c", AT, 1, "x", 1.0), ("d", AT, 1, "x", 1.0)]
    found = compared(spark, expected, stored)
    at = "at=2026-11-01T00:00:00.000000Z"
    assert found == Finding(
        "plays",
        equal=1,
        missing=1,
        extra=1,
        different=1,
        examples=[
            f"missing item='a', {at}",
            f"different item='b', {at}: plays must be 1, is 2; name must be NULL, is ''; "
            "score must be 1.0, is 1.1",
            f"extra item='d', {at}",
        ],
    )
    assert (found.rows, found.clean) == (3, False)


def test_decayed_sums_may_differ_in_the_last_digits_only(spark: SparkSession) -> None:
    expected = [("a", AT, 1, "x", 1e6), ("b", AT, 1, "x", 0.0), ("c", AT, 1, "x", 1e6)]
    stored = [("a", AT, 1, "x", 1e6 + 1e-4), ("b", AT, 1, "x", 1e-12), ("c", AT, 1, "x", 1e6 + 1)]
    found = compared(spark, expected, stored)
    assert (found.equal, found.different) == (2, 1)


def test_rows_that_nobody_can_recompute_are_left_out_and_counted(spark: SparkSession) -> None:
    expected = spark.createDataFrame([("a", AT, 1, "x", 1.0), ("b", AT, 1, "x", 1.0)], COLUMNS)
    stored = spark.createDataFrame([("b", AT, 9, "x", 1.0), ("a", AT, 1, "x", 1.0)], COLUMNS)
    found = compare(CHECK, expected, stored, spark.createDataFrame([("b",)], "item string"))
    assert found == Finding("plays", 1, 0, 0, 0, left_out=1, examples=[])


def test_one_of_several_values_is_right_and_a_row_may_be_absent(spark: SparkSession) -> None:
    check = Check("artists", ("id",), one_of=("name",), needed="needed")
    columns = "id string, name array<struct<v: string>>, needed boolean"
    either = [("One",), (None,)]
    expected = spark.createDataFrame(
        [
            ("a", either, True),
            ("b", either, True),
            ("c", either, True),
            ("d", either, False),
            ("e", either, True),
        ],
        columns,
    )
    stored = spark.createDataFrame(
        [("a", "One"), ("b", None), ("c", "Two")], "id string, name string"
    )
    found = compare(check, expected, stored)
    assert (found.equal, found.missing, found.extra, found.different) == (2, 1, 0, 1)
    assert "different id='c': name must be 'One' or NULL, is 'Two'" in found.examples


def test_a_derived_column_follows_from_the_stored_row(spark: SparkSession) -> None:
    check = Check("t", ("id",), close=("one",), derived={"twice": "stored.one * 2"})
    expected = spark.createDataFrame([("a", 1.0), ("b", 1.0)], "id string, one double")
    stored = spark.createDataFrame(
        [("a", 1.0, 2.0), ("b", 1.0, 3.0)], "id string, one double, twice double"
    )
    found = compare(check, expected, stored)
    assert (found.equal, found.different) == (1, 1)
    assert found.examples == [
        "different id='b': twice is 3.0, which does not follow from the row's other columns"
    ]
