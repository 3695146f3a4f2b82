"""Roles of PostgreSQL: each part works under its own, and can do nothing else."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2 import errors, extensions, sql

from database.engine import transaction
from database.roles import PARTS, make_roles, url_of
from encore.events import Topics
from encore.settings import load_settings
from encore.stack.credentials import ADMIN_USER, admin_password
from recommender.publish import publish
from recommender.switch import roll_back
from serving.keys import Role
from tests.api import make_keys, seed, serving
from tests.faults.inside import event, message
from tests.live import does, execute, list_of, make_run, register_someone, told, work_off
from tests.programs import encore_outcome

pytestmark = pytest.mark.services

PASSWORDS = {part.login: f"p@ss/{part.login}" for part in PARTS}


@contextmanager
def superuser(url: str) -> Iterator[extensions.connection]:
    place = urlsplit(url)
    with closing(
        psycopg2.connect(
            host=place.hostname,
            port=place.port,
            user=ADMIN_USER,
            password=admin_password(),
            dbname=place.path.lstrip("/"),
        )
    ) as session:
        yield session


@pytest.fixture(scope="module")
def url(shared_database_url: str) -> Iterator[str]:
    """Return the owner's URL of a database with the roles; take the roles away at the end."""
    seed(shared_database_url)
    with superuser(shared_database_url) as administrator:
        for _ in range(2):  # the second time changes nothing
            made = make_roles(administrator, shared_database_url, PASSWORDS)
            assert tuple(made) == PARTS
        try:
            yield shared_database_url
        finally:
            with administrator, administrator.cursor() as cursor:
                for part in PARTS:
                    names = {"group": sql.Identifier(part.group), "one": sql.Identifier(part.login)}
                    cursor.execute(sql.SQL("DROP OWNED BY {group} CASCADE").format(**names))
                    cursor.execute(sql.SQL("DROP ROLE {one}, {group}").format(**names))


def acting_as(url: str, login: str) -> str:
    return url_of(url, login, PASSWORDS[login])


def refused(url: str, statement: str) -> bool:
    try:
        execute(url, statement)
    except errors.InsufficientPrivilege:
        return True
    return False


NOT_FOR = {
    "encore_serve": [
        "INSERT INTO users (user_id) VALUES ('eve')",
        "UPDATE user_item_affinity SET signal = 9",
        "DELETE FROM recommendations",
        "UPDATE rejected_events SET raw = NULL",
        "UPDATE api_keys SET role = 'admin'",
        "DELETE FROM api_writes",
        "SELECT begin_erasure('ada', 't', 'i', '{}')",
        "CREATE TABLE mine (n int)",
    ],
    "encore_stream": [
        "SELECT digest FROM api_keys",
        "SELECT path FROM api_writes",
        "UPDATE published_run SET model_run_id = 1",
        "DELETE FROM recommendations",
        "SELECT erase_user('ada')",
        "CREATE ROLE mine",
    ],
    "encore_train": [
        "SELECT digest FROM api_keys",
        "INSERT INTO api_writes SELECT FROM api_writes",
        "DELETE FROM user_item_affinity",
        "UPDATE stream_offsets SET next_offset = 0",
        "SELECT erase_user('ada')",
    ],
}


@pytest.mark.parametrize("login", sorted(NOT_FOR))
def test_a_role_can_do_nothing_that_its_part_does_not(url: str, login: str) -> None:
    own = acting_as(url, login)
    assert [one for one in NOT_FOR[login] if not refused(own, one)] == []
    assert execute(own, "SELECT count(*) FROM items") == [(7,)]


def test_the_api_works_under_its_role(url: str) -> None:
    with serving(acting_as(url, "encore_serve"), keys=make_keys(url)) as api:
        assert api.json("/recommend/ada")["recommendations"][0]["item"]["item_id"] == "t3"
        assert api.json("/because/ada/t3")["because"]
        assert api.json("/users/ada/history")["history"]
        assert api.json("/items", q="wasted")["items"]
        put = api.client.put(
            "/api/v1/preference/ada/t4", headers=api.headers(Role.WRITE)
        )  # Kafka is away, and that is on record
        assert put.status_code == 503
    assert execute(url, "SELECT path, status FROM api_writes") == [
        ("/api/v1/preference/ada/t4", 503)
    ]


def test_an_administrator_of_the_api_may_roll_back_and_replay_under_its_role(url: str) -> None:
    ((run,),) = execute(
        url,
        "INSERT INTO model_runs (algorithm, status, parameters, published_at)"
        " VALUES ('als', 'superseded', '{}', '2026-01-01') RETURNING model_run_id",
    )
    execute(
        url,
        'INSERT INTO rejected_events (topic, topic_id, partition, "offset", reason, raw,'
        " arrived_at) VALUES ('music.events', 'id-1', 0, 7, 'missing', '{}', now())",
    )
    ask = {"places": ["music.events/0/7"], "dry_run": True}
    with serving(acting_as(url, "encore_serve"), keys=make_keys(url)) as api:
        admin = api.headers(Role.ADMIN)
        gone = api.client.post(f"/api/v1/models/rollback?run={run}", headers=admin)
        assert gone.json()["model_run_id"] == run, gone.text
        before = gone.json()["before"]
        back = api.client.post(f"/api/v1/models/rollback?run={before}", headers=admin)
        assert back.json() == {"model_run_id": before, "before": run}
        rehearsed = api.client.post("/api/v1/rejected/replay", json=ask, headers=admin)
        assert rehearsed.json()["would_send"] == 1, rehearsed.text
    for table in ("run_switches", "rejected_events"):
        execute(url, f"DELETE FROM {table}")
    execute(url, "DELETE FROM model_runs WHERE model_run_id = %s", run)


def test_training_and_live_lists_work_under_their_role(url: str) -> None:
    own = acting_as(url, "encore_train")
    register_someone(own)
    first, second = make_run(own), make_run(own)
    publish(own, first, keep=5)
    does(url, "ada", "t6")
    work_off(own)
    assert list_of(own, "ada") == [told(first, 3)]
    publish(own, second, keep=1)
    work_off(own)
    assert list_of(own, "ada") == [told(second, 3)]
    assert execute(own, "SELECT model_run_id FROM model_runs") == [(second,)]
    third = make_run(own)
    publish(own, third, keep=2)
    assert roll_back(own) == (third, second)
    switches = execute(own, "SELECT model_run_id FROM run_switches ORDER BY switched_at")
    assert switches == [(first,), (second,), (third,), (second,)]


@pytest.mark.spark
def test_the_stream_works_under_its_role(url: str, kafka: str) -> None:
    from kafka import KafkaProducer

    from encore.topics import ensure_topics

    prefix = f"roles-{uuid.uuid4().hex[:8]}"
    topics = Topics.of(prefix)
    ensure_topics(kafka, topics, load_settings())
    with closing(KafkaProducer(bootstrap_servers=kafka, acks="all")) as producer:
        for number in range(20):
            one = message(event(number, user_id="streamed"))
            producer.send(topics.events, key=one.key, value=one.value)
        announced = json.dumps({"user_id": "streamed", "schema_version": 1}).encode()
        producer.send(topics.users, key=b"streamed", value=announced)
        producer.send(topics.users, key=b"ada", value=None)
        producer.flush(timeout=60)
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "DATABASE_URL": acting_as(url, "encore_stream"),
        "KAFKA_TOPIC_PREFIX": prefix,
        "SPARK_MASTER": "local[2]",
    }
    done = encore_outcome("stream", "--available-now", env=env)
    assert done.returncode == 0, done.stdout[-4000:]
    with transaction(url) as cursor:
        cursor.execute("SELECT sum(events) FROM user_counts_day WHERE user_id = 'streamed'")
        assert cursor.fetchall() == [(20,)]
        cursor.execute("SELECT user_id FROM users WHERE user_id IN ('ada', 'streamed')")
        assert cursor.fetchall() == [("streamed",)]
        cursor.execute("SELECT count(*) FROM user_item_affinity WHERE user_id = 'ada'")
        assert cursor.fetchall() == [(0,)]
