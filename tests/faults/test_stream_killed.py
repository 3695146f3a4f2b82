"""The streaming job killed, its checkpoint lost, two of it at once: every number stays exact."""

import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from database.engine import transaction
from database.migrate import upgrade
from encore.events import Topics
from tests.comparison import accounts, differences, rejected
from tests.oracle import expect, read_topic
from tests.programs import Program, encore, running

pytestmark = [pytest.mark.faults, pytest.mark.services]

HISTORY = (
    "produce",
    "--quiet",
    "--history=7d",
    "--live-from=2026-11-01T00:00:00Z",
    "--until=2026-11-01T00:00:00Z",
    "--users=500",
    "--tracks=800",
    "--history-events=40000",
    "--late=0.03",
    "--duplicates=0.05",
    "--malformed=0.02",
)


@dataclass(frozen=True)
class Setup:
    """A database and topics of one test, and a folder for checkpoints and logs."""

    env: dict[str, str] = field(repr=False)
    kafka: str
    database: str = field(repr=False)
    topics: Topics
    folder: Path

    def counted(self) -> int:
        """Return how many records of the events topic are counted."""
        with transaction(self.database) as cursor:
            cursor.execute(
                "SELECT coalesce(sum(next_offset), 0) FROM stream_offsets WHERE topic = %s",
                (self.topics.events,),
            )
            return int(cursor.fetchall()[0][0])

    def checkpoint(self) -> Path:
        """Return the checkpoint of the events query in use."""
        (found,) = (
            one for one in self.folder.glob(f"{self.topics.events}-*") if "aside" not in one.name
        )
        return found

    def count_all(self) -> None:
        """Run the job to the end of what is in Kafka."""
        encore("stream", "--available-now", env=self.env, timeout=300)

    def assert_exact(self) -> None:
        """Hold the tables, the accounts and the rejected records to the recomputation."""
        expected = expect(read_topic(self.kafka, self.topics.events))
        assert len(expected.accepted) > 10_000
        with transaction(self.database) as cursor:
            found = differences(cursor, expected)
            assert {name: (len(lines), lines[:3]) for name, lines in found.items()} == {}
            assert accounts(cursor, self.topics.events) == expected.accounts
            assert rejected(cursor, self.topics.events) == expected.rejected


@pytest.fixture
def setup(kafka: str, database_url: str, tmp_path: Path) -> Setup:
    prefix = f"faults-{uuid.uuid4().hex[:8]}"
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "DATABASE_URL": database_url,
        "KAFKA_TOPIC_PREFIX": prefix,
        "STREAM_CHECKPOINT": f"file://{tmp_path}",
        "STREAM_MAX_OFFSETS_PER_TRIGGER": "4000",
        "STREAM_TRIGGER_SECONDS": "0.1",
        "SPARK_MASTER": "local[2]",
    }
    upgrade(database_url)
    encore(*HISTORY, "--seed=3", env=env)
    return Setup(env, kafka, database_url, Topics.of(prefix), tmp_path)


def wait_for_progress(job: Program, setup: Setup, records: int) -> None:
    """Wait until the job has counted so many records more."""
    goal = setup.counted() + records
    job.wait_until(lambda: setup.counted() >= goal, timeout=180, what=f"{goal} are counted")


def test_kills_replays_and_a_lost_checkpoint_change_no_number(setup: Setup) -> None:
    log = setup.folder / "stream.log"
    with running("stream", env=setup.env, log=log) as job:
        # Two batches: when the second is in PostgreSQL, Spark has committed the first.
        wait_for_progress(job, setup, 8_000)
        job.kill()
    # Spark commits after PostgreSQL has: without its newest commit it does a batch again.
    commits = sorted((setup.checkpoint() / "commits").glob("[0-9]*"), key=lambda one: int(one.name))
    commits[-1].unlink()
    commits[-1].with_name(f".{commits[-1].name}.crc").unlink(missing_ok=True)
    with running("stream", env=setup.env, log=log) as job:
        wait_for_progress(job, setup, 4_000)
        job.kill()
    shutil.rmtree(setup.checkpoint())
    encore(*HISTORY, "--seed=3", "--no-entities", "--max-events=9000", env=setup.env)
    setup.count_all()
    setup.assert_exact()
    with transaction(setup.database) as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'staging'")
        assert cursor.fetchall() == [(0,)]


def test_two_jobs_by_mistake_count_nothing_twice(setup: Setup) -> None:
    other = setup.folder / "other"
    other.mkdir()
    second = {**setup.env, "STREAM_CHECKPOINT": f"file://{other}"}
    with running("stream", env=second, log=setup.folder / "second.log") as job:
        setup.count_all()
        job.wait_until(
            lambda: len(list(other.glob("*/commits/[0-9]*"))) >= 4,
            timeout=180,
            what="the second job has done some batches as well",
        )
        job.kill()
    setup.assert_exact()
