"""What the API writes: into Kafka, acknowledged, by the contract, and on record."""

import json
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from database.migrate import upgrade
from encore.events import Topics
from encore.stack.process import free_port
from encore.topics import topic_ids
from serving.keys import Role
from tests.api import Api, make_keys, read_topic, serving
from tests.door import Door
from tests.live import execute
from tests.programs import running

pytestmark = pytest.mark.services

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def url(shared_database_url: str) -> str:
    upgrade(shared_database_url)
    return shared_database_url


@pytest.fixture(scope="module")
def prefix(shared_topics: Topics) -> str:
    return shared_topics.events.removesuffix(".events")


@pytest.fixture(scope="module")
def api(url: str, kafka: str, prefix: str) -> Iterator[Api]:
    with serving(
        url, kafka, kafka_topic_prefix=prefix, serve_max_request_bytes=100_000
    ) as running_api:
        yield running_api


def event(**changes: Any) -> dict[str, Any]:
    """Return an event of now, with an id of its own."""
    return {
        "event_id": str(uuid.uuid4()),
        "schema_version": 1,
        "event_type": "like",
        "event_ts": round(time.time() * 1000),
        "user_id": "u1",
        "item_id": "t1",
    } | changes


def post(
    api: Api,
    path: str,
    content: bytes | str,
    role: Role = Role.WRITE,
    media: str = "application/x-ndjson",
) -> httpx.Response:
    headers = api.headers(role) | {"Content-Type": media}
    return api.client.post(f"/api/v1{path}", content=content, headers=headers)


def in_kafka(kafka: str, topic: str) -> dict[Any, Any]:
    """Return the records of a topic by the first id in them, each with its key."""
    found = {}
    for key, value in read_topic(kafka, topic):
        record = json.loads(value or b"{}")
        found[next(iter(record.values()))] = ((key or b"").decode(), record)
    return found


def test_one_event_is_answered_when_kafka_has_it(
    api: Api, kafka: str, shared_topics: Topics
) -> None:
    one = event(user_id="ada", device="radio")
    told = api.client.post("/api/v1/events", json=one, headers=api.headers(Role.WRITE))
    assert told.status_code == 202, told.text
    assert told.json() == {"accepted": 1, "rejected": 0, "errors": []}
    assert in_kafka(kafka, shared_topics.events)[one["event_id"]] == ("ada", one)


def test_of_a_batch_the_good_are_taken_and_the_others_told_by_position(
    api: Api, kafka: str, shared_topics: Topics
) -> None:
    good, listen = event(user_id="bob"), event(event_type="listen")
    told = api.client.post(
        "/api/v1/events", json=[good, listen, "no event"], headers=api.headers(Role.WRITE)
    )
    assert told.status_code == 202
    assert told.json() == {
        "accepted": 1,
        "rejected": 2,
        "errors": [
            {"position": 1, "reason": "missing", "field": "duration_ms"},
            {"position": 2, "reason": "malformed_json", "field": None},
        ],
    }
    found = in_kafka(kafka, shared_topics.events)
    assert good["event_id"] in found
    assert listen["event_id"] not in found


def test_many_events_come_a_line_each(api: Api, kafka: str, shared_topics: Topics) -> None:
    many = [event(user_id=f"u{number % 7}") for number in range(300)]
    told = post(api, "/events", "\n".join(json.dumps(one) for one in many))
    assert told.json()["accepted"] == 300
    assert {one["event_id"] for one in many} <= in_kafka(kafka, shared_topics.events).keys()


def test_an_event_sent_again_is_the_same_record_under_the_same_key(
    api: Api, kafka: str, shared_topics: Topics
) -> None:
    one = json.dumps(event(user_id="twice"))
    assert [post(api, "/events", one).status_code for _ in range(2)] == [202, 202]
    sent = [pair for pair in read_topic(kafka, shared_topics.events) if pair[0] == b"twice"]
    assert sent == [(b"twice", one.encode())] * 2  # the stream counts it once, by its event_id


def test_when_no_event_is_good_nothing_is_taken(api: Api) -> None:
    told = post(api, "/events", json.dumps(event(event_type="sing")))
    assert told.status_code == 422
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json()["errors"] == [
        {"position": 0, "reason": "not_allowed", "field": "event_type"}
    ]


def test_what_is_no_json_or_too_large_is_refused(api: Api) -> None:
    assert post(api, "/events", "{", media="application/json").status_code == 400
    assert post(api, "/events", "[]", media="application/json").status_code == 400
    assert post(api, "/events", "a=1", media="text/csv").status_code == 415
    large = "x" * 100_001
    assert post(api, "/events", large).status_code == 413

    def in_parts() -> Iterator[bytes]:
        for _ in range(101):
            yield b"x" * 1000

    told = api.client.post(
        "/api/v1/events", content=in_parts(), headers=api.headers(Role.WRITE) | NDJSON
    )
    assert told.status_code == 413


def test_a_key_that_may_only_read_writes_nothing(api: Api) -> None:
    told = post(api, "/events", json.dumps(event()), role=Role.READ)
    assert told.status_code == 403
    assert "it takes write" in told.json()["detail"]
    assert api.client.post("/api/v1/events", json=event()).status_code == 401


def test_a_preference_is_an_event_of_now(api: Api, kafka: str, shared_topics: Topics) -> None:
    headers, told = api.headers(Role.WRITE), []
    path = "/api/v1/preference/eve/t9"
    told.append(api.client.put(path, headers=headers))
    told.append(api.client.put(path, params={"kind": "dislike"}, headers=headers))
    told.append(api.client.delete(path, headers=headers))
    assert [one.status_code for one in told] == [202, 202, 202]
    found = in_kafka(kafka, shared_topics.events)
    for answer, kind in zip(told, ["like", "dislike", "unlike"], strict=True):
        said = answer.json()
        key, record = found[said["event_id"]]
        assert (key, record["event_type"], record["item_id"]) == ("eve", kind, "t9")
        assert said["event_type"] == kind
    mine = str(uuid.uuid4())
    again = [api.client.put(path, params={"event_id": mine}, headers=headers) for _ in range(2)]
    assert [one.json()["event_id"] for one in again] == [mine, mine]


def test_what_was_shown_is_an_event_an_item_and_the_same_ones_when_told_again(
    api: Api, kafka: str, shared_topics: Topics
) -> None:
    ask = {
        "user_id": "looks",
        "variant": "blend:b",
        "request_id": "r1",
        "impressions": [
            {"item_id": "t1", "position": 1, "source": "personal", "model_run_id": 7},
            {"item_id": "t2", "position": 2, "source": "popular"},
        ],
    }
    told = [post(api, "/impressions", json.dumps(ask), media="application/json") for _ in range(2)]
    assert [(one.status_code, one.json()) for one in told] == [(202, {"accepted": 2})] * 2
    sent = [
        json.loads(value or b"{}")
        for key, value in read_topic(kafka, shared_topics.events)
        if key == b"looks"
    ]
    assert [one["event_id"] for one in sent[:2]] == [one["event_id"] for one in sent[2:]]
    assert len({one["event_id"] for one in sent}) == 2
    said = ("event_type", "item_id", "position", "source", "model_run_id", "variant")
    assert [tuple(one.get(name) for name in said) for one in sent[:2]] == [
        ("impression", "t1", 1, "personal", 7, "blend:b"),
        ("impression", "t2", 2, "popular", None, "blend:b"),
    ]
    assert post(api, "/impressions", json.dumps(ask), role=Role.READ).status_code == 403
    ask["impressions"] = [{"item_id": "t1", "position": 0, "source": "personal"}]
    refused = post(api, "/impressions", json.dumps(ask), media="application/json")
    assert refused.status_code == 422
    assert [one["field"] for one in refused.json()["errors"]] == ["impressions.0.position"]


def test_a_list_that_is_written_back_counts_as_shown(
    api: Api, url: str, kafka: str, shared_topics: Topics
) -> None:
    execute(url, "INSERT INTO items (item_id, title) VALUES ('n1', 'One'), ('n2', 'Two')")
    path = "/recommend/sees?n=2&write_back=true"
    assert api.get(path, Role.READ).status_code == 403
    assert api.json("/recommend/sees?n=2")["recommendations"]
    told = api.get(path, Role.WRITE)
    assert told.status_code == 200, told.text
    sent = [
        json.loads(value or b"{}")
        for key, value in read_topic(kafka, shared_topics.events)
        if key == b"sees"
    ]
    assert [(one["position"], one["item_id"], one["source"]) for one in sent] == [
        (one["rank"], one["item"]["item_id"], one["source"])
        for one in told.json()["recommendations"]
    ]
    assert [one["item_id"] for one in sent] == ["n1", "n2"]
    with serving(url) as without_kafka:
        assert without_kafka.get(path, Role.WRITE).status_code == 503
        assert without_kafka.get("/recommend/sees?n=2").status_code == 200


def test_items_and_listeners_go_through_their_topics(
    api: Api, kafka: str, shared_topics: Topics
) -> None:
    item = {"item_id": "t77", "schema_version": 1, "title": "One", "genres": ["Folk"]}
    user = {"user_id": "u77", "schema_version": 1, "country": "SE"}
    assert post(api, "/items", json.dumps(item)).json()["accepted"] == 1
    assert post(api, "/users", json.dumps(user)).json()["accepted"] == 1
    assert post(api, "/items", '{"item_id":"t78"}').json()["errors"] == [
        {"position": 0, "reason": "missing", "field": "schema_version"}
    ]
    assert in_kafka(kafka, shared_topics.items) == {"t77": ("t77", item)}
    assert in_kafka(kafka, shared_topics.users) == {"u77": ("u77", user)}


def test_every_write_is_on_record_and_no_secret_with_it(
    database_url: str, kafka: str, prefix: str
) -> None:
    url = database_url  # where no other server writes
    upgrade(url)
    keys = make_keys(url)
    with serving(url, kafka, keys=keys, kafka_topic_prefix=prefix) as api:
        assert api.get("/writes", Role.WRITE).status_code == 403
        post(api, "/events", "\n".join(json.dumps(event()) for _ in range(3)))
        post(api, "/events", "{}", role=Role.READ)
        api.client.put("/api/v1/preference/eve/t9", headers=api.headers(Role.ADMIN))
        api.get("/trending", role=Role.WRITE)
    rows = execute(
        url,
        "SELECT k.name, w.method, w.path, w.status, w.records FROM api_writes AS w"
        " JOIN api_keys AS k USING (key_id) ORDER BY write_id",
    )
    assert rows == [
        ("test write", "POST", "/api/v1/events", 202, 3),
        ("test read", "POST", "/api/v1/events", 403, 0),
        ("test admin", "PUT", "/api/v1/preference/eve/t9", 202, 1),
    ]
    with serving(url, keys=keys) as api:
        first = api.get("/writes", Role.ADMIN, n=2).json()
        second = api.get("/writes", Role.ADMIN, n=1, before=first["next"]).json()
    shown = [*first["writes"], *second["writes"]]
    assert [(one["key_name"], one["status"]) for one in shown] == [
        ("test admin", 202),
        ("test read", 403),
        ("test write", 202),
    ]


def test_while_kafka_is_away_writes_are_told_to_come_again_and_reads_go_on(url: str) -> None:
    with serving(url) as api:
        told = post(api, "/events", json.dumps(event()))
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert told.json()["detail"] == (
            "Kafka does not answer. Nothing is lost: send the request again."
        )
        assert api.get("/trending").status_code == 200


def test_what_kafka_did_not_take_is_taken_when_it_is_back(
    url: str, kafka: str, prefix: str
) -> None:
    with (
        Door.to(kafka) as (door, there),
        serving(url, there, kafka_topic_prefix=prefix) as api,
    ):
        one = json.dumps(event())
        assert post(api, "/events", one).status_code == 503
        assert api.get("/health/ready", role=None).json()["parts"]["kafka"] == "away"
        door.open()
        assert post(api, "/events", one).status_code == 202


def test_the_command_serves_until_it_is_asked_to_end(url: str, kafka: str, tmp_path: Path) -> None:
    port = free_port(())
    new = f"served-{uuid.uuid4().hex[:8]}"
    env = {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_TOPIC_PREFIX": new}
    log = tmp_path / "serve.log"
    with running("serve", "--port", str(port), env=env, log=log) as program:
        program.wait_until(answers(f"http://127.0.0.1:{port}"), timeout=60, what="it answers")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            api = Api("", url, make_keys(url), client)
            assert post(api, "/events", json.dumps(event())).status_code == 202
            headers = api.headers(Role.READ)
            with client.stream("GET", "/api/v1/stream/now", headers=headers) as watching:
                lines = watching.iter_lines()
                assert next(lines) == "event: now"
                program.ask(signal.SIGTERM)
                assert list(lines)  # to its end: it is let go, not cut off
        assert program.ends(timeout=30) == 0
    assert set(topic_ids(kafka, Topics.of(new).all()))  # it made the topics that were missing
    # By keys of its own: the server that other tests share writes its rows a second later.
    keys = [key.split("_")[1] for key in api.keys.values()]
    written = "SELECT method, path, status FROM api_writes WHERE key_id = ANY (%s)"
    assert execute(url, written, keys) == [("POST", "/api/v1/events", 202)]
    text = log.read_text()
    assert '"event": "stopped"' in text
    assert not [key for key in api.keys.values() if key.split("_")[2] in text]


def answers(url: str) -> Callable[[], bool]:
    """Return what tells whether an API answers there."""

    def ask() -> bool:
        try:
            return httpx.get(f"{url}/api/v1/hello").status_code == 200
        except httpx.TransportError:
            return False

    return ask


def test_an_act_is_sent_and_followed_as_far_as_it_comes(
    api: Api, url: str, kafka: str, prefix: str
) -> None:
    execute(url, "INSERT INTO items (item_id, title, duration_ms) VALUES ('t9', 'Nine', 100000)")
    execute(url, "INSERT INTO users (user_id, country, level) VALUES ('u9', 'SE', 'paid')")
    told = api.client.post(
        "/api/v1/trace?wait=0.1",
        json={"user_id": "u9", "item_id": "t9", "act": "skip"},
        headers=api.headers(Role.WRITE),
    )
    assert told.status_code == 200, told.text
    parts = [part.split("\n") for part in told.text.split("\n\n") if part]
    names = [name.removeprefix("event: ") for name, _ in parts]
    sent, *steps = [json.loads(data.removeprefix("data: ")) for _, data in parts]
    assert names == ["sent", "hop", "hop", "stopped"]  # no stream runs
    assert [one["name"] for one in steps] == ["produced", "acknowledged", "committed"]
    assert "encore stream" in steps[-1]["advice"]
    assert 0 <= steps[0]["seconds"] <= steps[1]["seconds"]
    values = [json.loads(value or b"{}") for _, value in read_topic(kafka, f"{prefix}.events")]
    assert [one for one in values if one.get("user_id") == "u9"] == [sent]
    known = {"event_type": "listen", "item_id": "t9", "country": "SE", "level": "paid"}
    assert sent == sent | known | {"duration_ms": 100_000, "ms_played": 2_000}


def test_an_act_on_an_item_that_nobody_knows_is_refused_and_not_sent(
    api: Api, kafka: str, prefix: str
) -> None:
    before = len(read_topic(kafka, f"{prefix}.events"))
    ask = {"user_id": "u9", "item_id": "none", "act": "like"}
    for role, status in ((Role.WRITE, 404), (Role.READ, 403)):
        told = api.client.post("/api/v1/trace", json=ask, headers=api.headers(role))
        assert told.status_code == status
    assert len(read_topic(kafka, f"{prefix}.events")) == before
