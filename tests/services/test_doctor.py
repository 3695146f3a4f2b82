"""The doctor beside services that are there, while nothing reads from them."""

import json
from contextlib import closing

import psycopg2
import pytest

from database.migrate import upgrade
from doctor.checks import checks
from doctor.trace import LISTENER, Tracer
from encore.events import Topics
from encore.settings import load_settings, settings
from tests.programs import encore_outcome

pytestmark = pytest.mark.services


def test_an_event_that_nobody_counts_is_told_with_what_is_missing(
    kafka: str, database_url: str, topics: Topics
) -> None:
    upgrade(database_url)
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "DATABASE_URL": database_url,
        "KAFKA_TOPIC_PREFIX": topics.events.removesuffix(".events"),
    }
    done = encore_outcome("doctor", "--wait=1", env=env)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    bad = [line.split()[1] for line in lines if line.startswith("BAD")]
    assert bad == ["model", "live", "committed"]
    assert "Run `encore train`." in done.stdout
    assert "Run `encore live` beside the stream." in done.stdout
    assert "Is `encore stream` running?" in lines[-1]
    assert [line.split()[2] for line in lines if " s  " in line] == ["produced", "acknowledged"]


def test_a_rejected_event_is_told_with_its_reason(
    kafka: str, database_url: str, topics: Topics
) -> None:
    upgrade(database_url)
    prefix = topics.events.removesuffix(".events")
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        # What a stream that is older than the doctor would write of its event.
        cursor.execute(
            'INSERT INTO rejected_events (topic, topic_id, partition, "offset", reason, field,'
            " key, raw, arrived_at, rejected_at) SELECT %s, 'id', p, 0, 'not_allowed',"
            " 'event_type', %s, %s, now(), now() FROM generate_series(0, 3) AS p",
            (topics.events, LISTENER.encode(), b"{}"),
        )
        cursor.execute(
            "INSERT INTO ingest_audit SELECT 1, %s, gen_random_uuid(), 0, f, t, 1, 0, 0, 0, 1, p,"
            " now() FROM (VALUES (%s::jsonb, %s::jsonb, %s::jsonb)) AS v (f, t, p)",
            (
                topics.events,
                json.dumps({str(one): 0 for one in range(4)}),
                json.dumps({str(one): 1 for one in range(4)}),
                json.dumps({"stage": 12, "merge": 7}),
            ),
        )
    trace = Tracer(kafka, database_url, prefix, hop_seconds=10).follow()
    assert [one.name for one in trace.hops] == ["produced", "acknowledged", "read and committed"]
    assert trace.hops[-1].seen == "batch 1: merge 7 ms, stage 12 ms"
    assert trace.stopped is not None
    assert trace.stopped.seen == "the stream rejected it: not_allowed event_type"


def test_old_tables_and_a_clock_are_told_of(
    kafka: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    settings.cache_clear()
    found = {one.name: one for one in checks(load_settings())}
    assert (found["migrations"].well, found["migrations"].advice) == (
        False,
        "Run `encore migrate`.",
    )
    assert found["clock"].well
    assert not {"model", "live worker"} & found.keys()
    settings.cache_clear()
