"""What the jobs do in Spark, in small: the classes that it loads go into an archive.

See :mod:`encore.stack.class_archive`. Spark runs this file as a job of its own.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encore.log import get_logger
from encore.paths import encore_home
from encore.spark import submission
from encore.stack.class_archive import archive_file, empty_folder
from encore.stack.state import exclusive

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

log = get_logger("stack")

_JOB = Path(__file__)
_MAKE_SECONDS = 300.0
_NOWHERE = "127.0.0.1:1"
_SLOWLY = "no archive of Spark's classes: it starts slowly"


def make_archive() -> None:
    """Make the archive if there is none; what hinders that is logged and costs time only."""
    file = archive_file()
    if file.is_file():
        return
    try:
        empty_folder().mkdir(parents=True, exist_ok=True)
        lock = file.with_name("lock")
        with exclusive(lock, what="archiving Spark's classes", seconds=_MAKE_SECONDS):
            if not file.is_file():
                _make(file)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning(_SLOWLY, because=str(error))


def _make(file: Path) -> None:
    log_file = encore_home() / "logs" / "rehearsal.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    log.info("archiving Spark's classes, once", file=str(file), log=str(log_file))
    scratch = file.with_suffix(".part")
    job = submission(_JOB, (), app_name="encore-rehearsal", master="local[1]", archive_to=scratch)
    with log_file.open("wb") as output:
        done = subprocess.run(
            job.command,
            env={**os.environ, **job.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_MAKE_SECONDS,
        )
    if done.returncode == 0 and scratch.is_file():
        scratch.rename(file)
    else:
        scratch.unlink(missing_ok=True)
        log.warning(_SLOWLY, because=f"Spark ended with {done.returncode}", log=str(log_file))


def rehearse(spark: "SparkSession") -> None:
    """Parse JSON, aggregate, pass Arrow through Python, factorise, run a stream's batch, and read
    from a Kafka that is not there.
    """
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import functions as F

    def same(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        yield from batches

    def take(batch: "DataFrame", _: int) -> None:
        batch.collect()

    rows = spark.range(100).select(
        (F.col("id") % 10).cast("int").alias("user"), (F.col("id") % 7).cast("int").alias("item")
    )
    parsed = rows.select(
        "*", F.from_json(F.lit('{"rating": 1.5}'), "rating double").alias("parsed")
    ).select("user", "item", "parsed.rating")
    passed = parsed.mapInArrow(same, parsed.schema)
    summed = passed.groupBy("user", "item").agg(F.sum("rating").alias("rating")).persist()
    summed.toArrow()
    estimator = ALS(rank=2, maxIter=1, numUserBlocks=1, numItemBlocks=1, implicitPrefs=True)
    estimator.setUserCol("user").setItemCol("item").setRatingCol("rating")
    estimator.fit(summed).itemFactors.toArrow()
    stream = spark.readStream.format("rate").load().writeStream.trigger(availableNow=True)
    stream.foreachBatch(take).start().awaitTermination()
    _ask_kafka(spark)


def _ask_kafka(spark: "SparkSession") -> None:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    java: Any = spark._jvm
    kafka = java.org.apache.kafka.clients
    config = java.java.util.HashMap()
    for name in ("key", "value"):
        config.put(
            f"{name}.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer"
        )
    config.put("bootstrap.servers", _NOWHERE)
    config.put("group.id", "rehearsal")
    moment = java.java.time.Duration.ofMillis(100)
    consumer = kafka.consumer.KafkaConsumer(config)
    consumer.assign(java.java.util.List.of(java.org.apache.kafka.common.TopicPartition("none", 0)))
    consumer.poll(moment)
    consumer.close(moment)
    source = spark.read.format("kafka").option("kafka.bootstrap.servers", _NOWHERE)
    for name in ("request", "default.api"):
        source = source.option(f"kafka.{name}.timeout.ms", "100")
    source = source.option("fetchOffset.numRetries", "1").option("subscribe", "none")
    try:
        source.load().collect()
    except (PySparkException, Py4JJavaError):
        return  # it could not but fail


if __name__ == "__main__":
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    rehearse(session)
    session.stop()
