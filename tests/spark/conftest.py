"""One Spark session for all tests of transforms."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(isolated_settings: object) -> "Iterator[SparkSession]":
    """Start Spark with two cores and two shuffle partitions."""
    from encore.spark import build_session

    session = build_session("encore-tests", master="local[2]", shuffle_partitions=2)
    yield session
    session.stop()
