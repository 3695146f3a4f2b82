"""From an event in Kafka to a changed list: the stream and `encore live` as processes."""

import json
import logging
import subprocess
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer

from database.engine import transaction
from encore.stack.process import free_port
from serving.keys import Role
from tests.api import is_ready, make_keys
from tests.faults.conftest import make_pipeline
from tests.faults.inside import event
from tests.faults.pipeline import Pipeline
from tests.live import execute, register_someone, wait_until
from tests.programs import encore, encore_outcome, running

pytestmark = [pytest.mark.e2e, pytest.mark.services]

GENRES = ("Folk", "Jazz", "Metal")
TRACKS = 30  # of a genre
TRAINING = {
    "ALS_RANK": "8",
    "ALS_BLOCKS": "1",
    "TRAIN_MIN_INTERACTIONS": "100",
    "SPARK_MASTER": "local[1]",
    "SPARK_DRIVER_MEMORY": "1g",
}


@pytest.fixture
def pipeline(kafka: str, database_url: str, tmp_path: Path) -> Pipeline:
    return make_pipeline(kafka, database_url, tmp_path)


def fill(database: str) -> None:
    """Sixty listeners, each with three fifths of the tracks of one genre and none of others."""
    with transaction(database) as cursor:
        cursor.execute("INSERT INTO genres SELECT unnest(%s)", (list(GENRES),))
        for genre in GENRES:
            cursor.execute(
                "INSERT INTO items (item_id, title) SELECT %(g)s || n, %(g)s || ' track ' || n "
                "FROM generate_series(1, %(n)s) AS n",
                {"g": genre, "n": TRACKS},
            )
            cursor.execute(
                "INSERT INTO item_genres SELECT %(g)s || n, %(g)s, 1 "
                "FROM generate_series(1, %(n)s) AS n",
                {"g": genre, "n": TRACKS},
            )
            cursor.execute(
                "INSERT INTO user_item_affinity (user_id, item_id, signal, first_at, last_at) "
                "SELECT %(g)s || ' listener ' || u, %(g)s || n, 1, at, at "
                "FROM generate_series(1, 20) AS u CROSS JOIN generate_series(1, %(n)s) AS n "
                "CROSS JOIN LATERAL (SELECT now() - (u + n) * interval '1 hour') AS t (at) "
                "WHERE (u + n) %% 5 < 3",
                {"g": genre, "n": TRACKS},
            )


def top_ten(database: str, user: str) -> set[str]:
    """Return the genres of a listener's best ten."""
    rows = execute(
        database,
        "SELECT DISTINCT g.genre FROM recommendations_for(%s, 10) JOIN item_genres AS g "
        "USING (item_id)",
        user,
    )
    return {row[0] for row in rows}


def send(pipeline: Pipeline, *events: dict[str, object]) -> None:
    producer = KafkaProducer(bootstrap_servers=pipeline.kafka, acks="all")
    for one in events:
        producer.send(
            pipeline.topics.events,
            value=json.dumps(one).encode(),
            key=str(one["user_id"]).encode(),
        )
    producer.flush(timeout=60)
    producer.close()


def act(number: int, kind: str, user: str, item: str) -> dict[str, object]:
    fields = {"event_type": kind, "user_id": user, "item_id": item}
    return event(number, **fields, session_id="visit", duration_ms=..., ms_played=...)


def test_three_likes_of_a_new_genre_bring_it_into_the_top_ten_within_seconds(
    pipeline: Pipeline,
) -> None:
    listener = "Folk listener 1"
    fill(pipeline.database)
    encore("train", env={**pipeline.env, **TRAINING})
    register_someone(pipeline.database)
    assert top_ten(pipeline.database, listener) == {"Folk"}
    live_log = pipeline.folder / "live.log"
    with (
        pipeline.streaming() as stream,
        running("live", env=pipeline.env, log=live_log) as live,
    ):
        stream.wait_until(lambda: "reading" in pipeline.said(), timeout=120, what="it reads")
        send(pipeline, act(1, "like", "Metal listener 1", "Metal1"))
        live.wait_until(
            lambda: execute(pipeline.database, "SELECT 1 FROM live_recommendations") != [],
            timeout=60,
            what="both are warm",
        )
        likes = [act(n, "like", listener, f"Jazz{n}") for n in (2, 3, 4)]
        began = time.monotonic()
        send(pipeline, *likes)
        wait_until(
            lambda: "Jazz" in top_ten(pipeline.database, listener), "Jazz is there", timeout=30
        )
        took = time.monotonic() - began
        told = doctor(pipeline)
        assert live.runs
        assert stream.runs
    logging.getLogger(__name__).warning("from the likes to the list: %.2f s", took)
    known = execute(
        pipeline.database,
        "SELECT 1 FROM recommendations_for(%s, 50) WHERE item_id IN ('Jazz2', 'Jazz3', 'Jazz4')",
        listener,
    )
    assert known == []
    assert '"Traceback"' not in live_log.read_text()
    the_doctor_followed_an_event_to_its_list(told)


def doctor(pipeline: Pipeline) -> "subprocess.CompletedProcess[str]":
    """Let the doctor look at everything, and follow an event to the answer of an API."""
    port = free_port(())
    key = make_keys(pipeline.database)[Role.READ]
    env = {**pipeline.env, "SERVE_PORT": str(port), "DOCTOR_API_KEY": key}
    with running("serve", env=env, log=pipeline.folder / "serve.log") as api:
        api.wait_until(lambda: is_ready(f"http://127.0.0.1:{port}"), timeout=60, what="it answers")
        return encore_outcome("doctor", "--json", env=env)


def the_doctor_followed_an_event_to_its_list(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert [one for one in told["checks"] if not one["well"]] == []
    names = ["produced", "acknowledged", "read and committed", "folded in", "served"]
    names += ["answered by the API"]
    assert [one["name"] for one in told["hops"]] == names
    seconds = [one["seconds"] for one in told["hops"]]
    assert seconds == sorted(seconds)
