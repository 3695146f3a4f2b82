"""The doctor beside services that are there, while nothing reads from them."""

import json
from contextlib import closing

import psycopg2
import pytest

from database.engine import transaction
from database.journey import Hop, Stopped
from database.migrate import upgrade
from doctor.api import Api
from doctor.checks import checks
from doctor.trace import LISTENER, Tracer
from encore.events import Topics
from encore.settings import load_settings, settings
from serving.keys import Role
from tests.api import seed, serving
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
        "SERVE_PORT": "0",
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
    trace = Tracer(kafka, database_url, topics.events, hop_seconds=10).follow()
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
    found = {one.name: one for one in checks(load_settings(serve_port=0))}
    assert (found["migrations"].well, found["migrations"].advice) == (
        False,
        "Run `encore migrate`.",
    )
    assert found["clock"].well
    assert not {"model", "live worker"} & found.keys()
    settings.cache_clear()


def test_the_api_is_asked_until_it_shows_a_list_that_is_newer(database_url: str) -> None:
    seed(database_url)
    with serving(database_url) as running:
        api = Api(running.url, running.keys[Role.READ])
        old = api.followed("ada", None, 0.1, lambda: 7.0)
        assert isinstance(old, Stopped)
        assert old.seen == "still the list of before after 0.1 s"
        with transaction(database_url) as cursor:
            cursor.execute(
                "INSERT INTO live_recommendations VALUES ('ada', 1, now(), '{t3}', '{1}',"
                " '{personal}', '{because}') RETURNING made_at"
            )
            ((made_at,),) = cursor.fetchall()
        new = api.followed("ada", None, 10.0, lambda: 7.0)
        assert isinstance(new, Hop)
        assert (new.name, new.seconds) == ("answered by the API", 7.0)
        assert isinstance(api.followed("ada", made_at, 0.1, lambda: 7.0), Stopped)


def test_a_key_of_another_database_and_an_api_without_kafka_are_told(database_url: str) -> None:
    seed(database_url)
    with serving(database_url) as running:
        api = Api(running.url, f"encore_{'0' * 8}_{'0' * 64}")
        refused = api.followed("ada", None, 0.1, lambda: 7.0)
        assert isinstance(refused, Stopped)
        assert "401 the key is unknown or revoked" in refused.seen
        assert "encore keys make" in refused.advice
        unwell = api.finding()
    assert not unwell.well
    assert "postgres up, kafka away" in unwell.seen


def test_where_no_api_is_the_event_is_not_followed_to_one() -> None:
    nobody = Api("http://127.0.0.1:1", f"encore_{'0' * 8}_{'0' * 64}")
    found = nobody.finding()
    assert found.well
    assert found.seen == "none at http://127.0.0.1:1 (Connection refused): it is not asked"
    assert nobody.followed("ada", None, 0.1, lambda: 7.0) is None


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"serve_host": "0.0.0.0", "serve_port": 81}, "http://127.0.0.1:81"),
        ({"serve_host": "::"}, "http://[::1]:8000"),
        ({"doctor_api_url": "https://api.example/"}, "https://api.example"),
    ],
)
def test_the_api_is_looked_for_where_the_settings_say(given: dict[str, object], url: str) -> None:
    found = Api.of(load_settings(**given))
    assert found is not None
    assert found.url == url


def test_an_api_at_any_free_port_cannot_be_looked_for() -> None:
    assert Api.of(load_settings(serve_port=0)) is None
