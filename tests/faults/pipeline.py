"""The real pipeline for the fault tests: a seeded producer, the streaming job, and the truth."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from database.engine import transaction
from encore.events import Topics
from tests.comparison import accounts, differences, rejected
from tests.oracle import Record, expect, read_topic
from tests.programs import Program, encore, encore_outcome, running

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
class Pipeline:
    """A database and topics of one test, and a folder for logs."""

    env: Mapping[str, str] = field(repr=False)
    kafka: str
    database: str = field(repr=False)
    topics: Topics
    folder: Path

    @property
    def log(self) -> Path:
        """Return the file that the streaming job writes to."""
        return self.folder / "stream.log"

    def produce(self, *flags: str) -> None:
        """Send the seeded history."""
        encore(*HISTORY, *flags, env=self.env)

    @contextmanager
    def streaming(self, *flags: str, **settings: str) -> Iterator[Program]:
        """Run the job beside the test."""
        with running("stream", *flags, env={**self.env, **settings}, log=self.log) as job:
            yield job

    def count_all(self, *flags: str, **settings: str) -> None:
        """Run the job to the end of what is in Kafka."""
        env = {**self.env, **settings}
        encore("stream", "--available-now", *flags, env=env, timeout=300)

    def refused(self, *flags: str, **settings: str) -> str:
        """Run the job, which must not succeed; return what it said."""
        env = {**self.env, **settings}
        done = encore_outcome("stream", "--available-now", *flags, env=env)
        said = done.stderr + done.stdout  # spark-submit sends all that Python says to stdout
        assert done.returncode == 1, said[-4000:]
        assert "Traceback" not in said, said[-4000:]
        return said

    def said(self) -> str:
        """Return what the jobs beside the test have written so far."""
        return self.log.read_text(errors="replace")

    def counted(self) -> int:
        """Return how many records of the events topic are counted."""
        with transaction(self.database) as cursor:
            cursor.execute(
                "SELECT coalesce(sum(next_offset), 0) FROM stream_offsets WHERE topic = %s",
                (self.topics.events,),
            )
            return int(cursor.fetchall()[0][0])

    def wait_for_progress(self, job: Program, records: int) -> None:
        """Wait until the job has counted so many records more."""
        goal = self.counted() + records
        job.wait_until(lambda: self.counted() >= goal, timeout=180, what=f"{goal} are counted")

    def records(self) -> Sequence[Record]:
        """Return everything that the events topic holds by now."""
        return list(read_topic(self.kafka, self.topics.events))

    def assert_exact(self, records: Sequence[Record] | None = None) -> None:
        """Hold tables, accounts and rejected records to a recomputation in plain Python."""
        expected = expect(self.records() if records is None else records)
        assert expected.accepted
        with transaction(self.database) as cursor:
            found = differences(cursor, expected)
            assert {name: (len(lines), lines[:3]) for name, lines in found.items()} == {}
            assert accounts(cursor, self.topics.events) == expected.accounts
            assert rejected(cursor, self.topics.events) == expected.rejected

    def staging_tables(self) -> int:
        """Return how many staging tables there are."""
        with transaction(self.database) as cursor:
            cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'staging'")
            return int(cursor.fetchall()[0][0])
