"""The broker killed under the running stream, and what watchers see of it in Kafka."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from encore.topics import admin_client, end_offsets
from tests.faults.conftest import make_pipeline
from tests.faults.pipeline import Pipeline
from tests.programs import encore

pytestmark = [pytest.mark.faults, pytest.mark.services]


@dataclass(frozen=True)
class OwnKafka:
    """A broker that may be killed: the other tests' is left alone."""

    env: dict[str, str]

    def up(self) -> str:
        """Start it and wait until it answers; return its bootstrap servers."""
        encore("up", "kafka", env=self.env)
        return str(self._status()["endpoint"])

    def kill(self) -> None:
        """Kill it with SIGKILL and wait until it is gone."""
        broker = psutil.Process(self._status()["pid"])
        broker.kill()
        broker.wait(timeout=30)

    def wipe(self) -> None:
        """Stop it and delete its data."""
        encore("down", "--wipe", "kafka", env=self.env)

    def _status(self) -> Any:
        (status,) = json.loads(encore("status", "kafka", "--json", env=self.env))
        return status


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[OwnKafka]:
    """Return a broker with a folder and ports of its own; it is not started."""
    broker = OwnKafka({"ENCORE_HOME": str(tmp_path / "kafka-home"), "KAFKA_BOOTSTRAP_SERVERS": ""})
    try:
        yield broker
    finally:
        broker.wipe()


def test_a_broker_killed_under_the_stream_changes_no_number(
    own_kafka: OwnKafka, database_url: str, tmp_path: Path
) -> None:
    bootstrap = own_kafka.up()
    pipeline = make_pipeline(bootstrap, database_url, tmp_path)
    pipeline.produce("--seed=10")
    with pipeline.streaming(STREAM_MAX_OFFSETS_PER_TRIGGER="1000") as job:
        pipeline.wait_for_progress(job, 3000)
        own_kafka.kill()
        assert own_kafka.up() == bootstrap
        pipeline.produce("--seed=11", "--no-entities", "--max-events=3000")
        job.wait_until(
            lambda: pipeline.counted() == sum(ends(pipeline).values()),
            timeout=180,
            what="everything is counted",
        )
        pipeline.assert_exact()
        job.wait_until(
            lambda: group_offsets(pipeline) == ends(pipeline),
            timeout=60,
            what="the consumer group shows what is counted",
        )


def ends(pipeline: Pipeline) -> dict[int, int]:
    found = end_offsets(pipeline.kafka, [pipeline.topics.events])
    return {partition: offset for (_, partition), offset in found.items()}


def group_offsets(pipeline: Pipeline) -> dict[int, int]:
    with admin_client(pipeline.kafka) as admin:
        found = admin.list_group_offsets({"encore-stream": None})
    return {
        at.partition: committed.offset
        for at, committed in found["encore-stream"].items()
        if at.topic == pipeline.topics.events
    }
