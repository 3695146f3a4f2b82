"""Rejected records sent again while the stream runs: mended ones are counted once."""

import json
import time
from pathlib import Path

import psycopg2
import pytest

from database.engine import transaction
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside, Message, Running, event, message
from tests.programs import encore, running

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]

NOTHING_ELSE = {"skipped": {}, "failed": {}, "left": 0}


def sent(number: int) -> dict[str, object]:
    """Return the summary of a replay that sent so many records, each once."""
    return {"sent": number, "acknowledged": number, "marked": number, **NOTHING_ELSE}


def replay(inside: Inside, *arguments: str) -> dict[str, object]:
    """Run ``encore rejected replay``; return its summary."""
    said = encore("rejected", "replay", "--yes", *arguments, env=inside.pipeline.env)
    summary: dict[str, object] = json.loads(said)
    return summary


def wait_until_counted(inside: Inside, job: Running, records: int) -> None:
    """Wait until the stream has counted so many records in all."""
    counted = inside.pipeline.counted
    job.wait_until(lambda: counted() >= records, what=f"{records} records are counted")


def test_mended_records_are_counted_once_while_the_stream_runs(
    inside: Inside, tmp_path: Path
) -> None:
    good = [message(event(number)) for number in range(300)]
    wrong_level = [message(event(300 + number, level="gold")) for number in range(120)]
    repeats = [message(event(number, level="gold")) for number in range(10)]
    cut_off = [
        Message((message(event(500 + number)).value or b"")[:-1], b"user-1") for number in range(40)
    ]
    with inside.streaming(stream_max_offsets_per_trigger=100) as job:
        inside.send([*good, *wrong_level, *repeats, *cut_off])
        wait_until_counted(inside, job, 470)
        assert inside.totals() == {"accepted": 300, "duplicate": 0, "rejected": 170}

        by_rule = ("--reason", "not_allowed", "--field", "level", "--set", 'level="paid"')
        assert replay(inside, *by_rule) == sent(130)
        inside.send(message(event(600 + number)) for number in range(100))

        lines = tmp_path / "mended.ndjson"
        listed = encore(
            "rejected", "list", "--json", "--reason", "malformed_json", env=inside.pipeline.env
        )
        lines.write_text(
            "".join(
                json.dumps({**row, "raw": row["raw"] + "}"}) + "\n"
                for row in map(json.loads, listed.splitlines())
            )
        )
        assert replay(inside, "--from", str(lines)) == sent(40)

        wait_until_counted(inside, job, 470 + 130 + 100 + 40)
        assert replay(inside) == {**sent(0), "skipped": {"already replayed": 170}}
    assert inside.totals() == {"accepted": 560, "duplicate": 10, "rejected": 170}
    inside.pipeline.assert_exact()


def test_a_replay_killed_before_its_mark_sends_twice_and_counts_once(
    inside: Inside, tmp_path: Path
) -> None:
    inside.send(message(event(number, level="gold")) for number in range(50))
    inside.count_all()
    assert inside.totals() == {"accepted": 0, "duplicate": 0, "rejected": 50}
    mend = ("rejected", "replay", "--yes", "--drop", "level")
    log = tmp_path / "replay.log"
    with running(*mend, env=inside.pipeline.env, log=log) as first:
        session = psycopg2.connect(inside.pipeline.database, application_name="a user")
        try:
            with session.cursor() as cursor:
                # Rows can be read and locked, but not be marked.
                cursor.execute("LOCK TABLE rejected_events IN SHARE MODE")
            first.wait_until(lambda: marks_wait(inside), timeout=60, what="all is acknowledged")
            first.kill()
        finally:
            session.close()
    wait_until_its_session_is_gone(inside)
    inside.count_all()
    assert inside.totals() == {"accepted": 50, "duplicate": 0, "rejected": 50}
    assert replay(inside, "--drop", "level") == sent(50)
    assert len(inside.pipeline.records()) == 150
    inside.count_all()
    assert inside.totals() == {"accepted": 50, "duplicate": 50, "rejected": 50}
    inside.pipeline.assert_exact()


def marks_wait(inside: Inside) -> bool:
    """Tell whether a replay waits to mark what it has sent."""
    with transaction(inside.pipeline.database) as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE NOT granted AND application_name = 'encore rejected' "
            "AND datname = current_database()"
        )
        return bool(cursor.fetchall()[0][0])


def wait_until_its_session_is_gone(inside: Inside) -> None:
    """Wait until PostgreSQL has noticed that the replay is dead, and given back its locks."""
    deadline = time.monotonic() + 60
    while True:
        with transaction(inside.pipeline.database) as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE application_name = 'encore rejected' AND datname = current_database()"
            )
            if cursor.fetchall() == [(0,)]:
                return
        assert time.monotonic() < deadline, "the dead replay's session is still there"
        time.sleep(0.02)
