"""``encore verify`` on a real run of the stream: clean as it is, and every corruption found."""

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition

from database.engine import transaction
from database.migrate import upgrade
from encore.events import Topics
from encore.topics import admin_client
from tests.programs import encore

pytestmark = [pytest.mark.services, pytest.mark.spark]

HISTORY = (
    "produce",
    "--quiet",
    "--history=3d",
    "--live-from=2026-11-01T00:00:00Z",
    "--until=2026-11-01T00:00:00Z",
    "--users=200",
    "--tracks=300",
    "--history-events=8000",
    "--late=0.03",
    "--duplicates=0.05",
    "--malformed=0.02",
    "--seed=5",
)
# Each is one thing that a defect of the stream, or a hand, could have done to a table.
CORRUPTIONS = {
    "item_counts_day": "UPDATE item_counts_day SET plays = plays + 1 WHERE ctid = "
    "(SELECT min(ctid) FROM item_counts_day)",
    "session_counts": "DELETE FROM session_counts WHERE ctid = "
    "(SELECT min(ctid) FROM session_counts)",
    "minute_users": "INSERT INTO minute_users VALUES ('2026-10-30 00:00+00', '{nobody}')",
    "item_trends": "UPDATE item_trends SET heat = heat + 1 WHERE ctid = "
    "(SELECT min(ctid) FROM item_trends WHERE heat IS NOT NULL)",
    "user_item_affinity": "UPDATE user_item_affinity SET signal = signal + 0.001 WHERE ctid = "
    "(SELECT min(ctid) FROM user_item_affinity)",
    "recommendation_outcomes": "INSERT INTO recommendation_outcomes (hour, model_run_id, variant, "
    "source, position, impressions) VALUES ('2026-10-30 00:00+00', 7, '', 'personal', 1, 3)",
    "users": "UPDATE users SET city = '' WHERE ctid = (SELECT min(ctid) FROM users)",
    "genres": "INSERT INTO genres VALUES ('Polka of the Deep')",
    "rejected_events": "UPDATE rejected_events SET raw = raw || '\\x00'::bytea WHERE ctid = "
    "(SELECT min(ctid) FROM rejected_events WHERE raw IS NOT NULL)",
    # A repeat taken for a new event.
    "stream_offsets": "UPDATE stream_offsets SET accepted = accepted + 1, "
    "duplicate = duplicate - 1 WHERE ctid = "
    "(SELECT min(ctid) FROM stream_offsets WHERE duplicate > 0)",
    "platform_activity_minute": "UPDATE platform_activity_minute SET events = events + 1 "
    "WHERE ctid = (SELECT min(ctid) FROM platform_activity_minute)",
}
TOLD = {
    "item_counts_day": "plays must be",
    "session_counts": "missing user_id=",
    "minute_users": "extra minute=2026-10-30T00:00:00.000000Z, user_id='nobody'",
    "item_trends": "heat is",
    "user_item_affinity": "signal must be",
    "recommendation_outcomes": "extra hour=2026-10-30T00:00:00.000000Z, model_run_id=7",
    "users": "city must be",
    "genres": "extra genre='Polka of the Deep'",
    "rejected_events": "raw must be",
    "stream_offsets": "accepted must be",
    "platform_activity_minute": "events must be",
}


@dataclass(frozen=True)
class Counted:
    """A database that the stream has counted a history into, and where it came from."""

    env: dict[str, str] = field(repr=False)
    kafka: str
    database: str = field(repr=False)
    topics: Topics


@pytest.fixture
def counted(kafka: str, database_url: str, tmp_path: Path) -> Counted:
    prefix = f"verify-{uuid.uuid4().hex[:8]}"
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "DATABASE_URL": database_url,
        "KAFKA_TOPIC_PREFIX": prefix,
        "STREAM_CHECKPOINT": f"file://{tmp_path}",
        "SPARK_MASTER": "local[2]",
        "TMPDIR": str(tmp_path),
    }
    upgrade(database_url)
    encore(*HISTORY, env=env)
    encore("stream", "--available-now", env=env)
    return Counted(env, kafka, database_url, Topics.of(prefix))


def verify(counted: Counted, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "encore", "verify", *arguments],
        env={**os.environ, **counted.env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def corrupt(counted: Counted) -> None:
    with transaction(counted.database) as cursor:
        for statement in CORRUPTIONS.values():
            cursor.execute(statement)
            assert cursor.rowcount == 1


# One run of the stream serves all of it: a Spark job is most of the time.
def test_a_counted_history_is_clean_and_every_corruption_is_found(
    counted: Counted, tmp_path: Path
) -> None:
    done = verify(counted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("clean: all ")
    assert list(tmp_path.glob("encore-verify-*")) == []
    assert verify(counted, "--accounting").returncode == 0
    # More arrives than is counted: that waits, and the tables stay right as of their offsets.
    encore(*HISTORY, "--max-events=500", env={**counted.env})
    corrupt(counted)
    report = tmp_path / "report.json"
    assert_found(verify(counted, "--json", str(report)), json.loads(report.read_text()))
    assert_books_do_not_close(verify(counted, "--accounting"))
    assert_refused_when_retention_has_removed_records(counted)


def assert_found(done: "subprocess.CompletedProcess[str]", report: dict[str, Any]) -> None:
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1].startswith("NOT clean: wrong: ")
    wrong = {one["table"]: one for one in report["tables"] if not one["clean"]}
    assert wrong.keys() == CORRUPTIONS.keys()
    for table, one in wrong.items():
        assert one["missing"] + one["extra"] + one["different"] == 1, one
        (example,) = one["examples"]
        assert TOLD[table] in example
        assert f"  {table}: {example}" in done.stdout
    assert not report["clean"]
    assert sum(one["waiting"] for one in report["accounting"]["accounts"]) > 500


def assert_books_do_not_close(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 1
    assert "accepted is" in done.stdout
    assert "duplicate is" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("the books do NOT close")


def assert_refused_when_retention_has_removed_records(counted: Counted) -> None:
    with admin_client(counted.kafka) as admin:
        admin.delete_records({TopicPartition(counted.topics.events, 0): 100})
    done = verify(counted)
    assert done.returncode == 2, done.stdout
    # spark-submit sends there what a job tells as an error.
    assert "was counted from 0 and begins at 100 now" in done.stdout
    assert verify(counted, "--accounting").returncode == 1  # as before: it needs no old records


def test_a_table_that_does_not_exist_is_a_matter_of_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "encore", "verify", "--table", "sessions"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no such table" in done.stderr
