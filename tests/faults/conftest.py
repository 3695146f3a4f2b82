"""A pipeline for each fault test."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from database.migrate import upgrade
from encore.events import Topics
from tests.faults.inside import Inside
from tests.faults.pipeline import Pipeline

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def pipeline(kafka: str, database_url: str, tmp_path: Path) -> Pipeline:
    """Return a migrated database, names of topics, and settings of small and quick batches."""
    return make_pipeline(kafka, database_url, tmp_path)


@pytest.fixture(scope="session")
def spark(isolated_settings: object) -> "Iterator[SparkSession]":
    """Start Spark for the tests that run the stream in this process."""
    from encore.spark import build_session

    session = build_session("encore-faults", master="local[2]")
    yield session
    session.stop()


@pytest.fixture
def inside(spark: "SparkSession", pipeline: Pipeline) -> Inside:
    """Return a pipeline whose stream of events runs in this process, its topics made."""
    made = Inside(spark, pipeline)
    made.make_topics()
    return made


def make_pipeline(kafka: str, database: str, folder: Path) -> Pipeline:
    """Return a pipeline on these services, with a prefix of topics of its own."""
    prefix = f"faults-{uuid.uuid4().hex[:8]}"
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "DATABASE_URL": database,
        "KAFKA_TOPIC_PREFIX": prefix,
        "ENCORE_HOME": str(folder / "home"),
        "STREAM_MAX_OFFSETS_PER_TRIGGER": "4000",
        "STREAM_TRIGGER_SECONDS": "0.1",
        "SPARK_MASTER": "local[2]",
    }
    upgrade(database)
    return Pipeline(env, kafka, database, Topics.of(prefix), folder)
