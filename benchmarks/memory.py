"""Whether memory stays flat while the stream runs at full rate."""

import os
import subprocess
import sys
import time

import numpy as np
import psutil

from benchmarks.backlog import Bench, empty_tables, running
from benchmarks.measure import Figure
from encore.events import Topics
from encore.settings import load_settings
from encore.topics import ensure_topics

_SETTLE_SHARE = 0.3  # of the time: heap, code and pages of the first batches
_EVERY_SECONDS = 1.0


def bench_memory(bench: Bench, minutes: float) -> list[Figure]:
    """Run stream and producer at full rate; return the slope of resident memory.

    Measured are the JVM of the driver, this process and Spark's Python workers together.
    """
    topics = Topics.of("bench-memory")
    ensure_topics(bench.bootstrap, topics, load_settings(kafka_topic_prefix="bench-memory"))
    empty_tables(bench)
    settings = load_settings(kafka_topic_prefix="bench-memory")
    at, sizes = [], []
    producer = _producer(bench)
    try:
        with running(bench, settings) as stream:
            stream.start(available_now=False)
            began = time.monotonic()
            while (now := time.monotonic() - began) < minutes * 60:
                at.append(now / 60)
                sizes.append(_resident_mb(producer.pid))
                time.sleep(_EVERY_SECONDS)
    finally:
        producer.terminate()
        producer.wait(timeout=60)
    settled = [number for number, moment in enumerate(at) if moment > minutes * _SETTLE_SHARE]
    slope, _ = np.polyfit([at[one] for one in settled], [sizes[one] for one in settled], 1)
    growth = float(slope) * minutes / float(np.median([sizes[one] for one in settled]))
    return [
        Figure(
            "resident memory",
            f"growth over {minutes:g} min as a share; peak {max(sizes):,.0f} MB",
            "MB/min",
            float(slope),
            1.0,
            growth,
            [growth],
            "<= 0.1",
        )
    ]


def _producer(bench: Bench) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "encore", "produce", "--quiet", "--no-entities"]
    command += ["--rate=1000000", "--users=200000", "--history=1d"]
    command += ["--history-events=1000000000", "--seed=12"]
    env = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bench.bootstrap,
        "KAFKA_TOPIC_PREFIX": "bench-memory",
    }
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _resident_mb(without: int) -> float:
    me = psutil.Process()
    total = 0
    for one in [me, *me.children(recursive=True)]:
        try:
            names = " ".join(one.cmdline())
            if one.pid != without and "kafka.Kafka" not in names and "postgres" not in names:
                total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20
