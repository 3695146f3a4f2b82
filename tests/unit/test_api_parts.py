"""The parts of the API that need no service: keys, limits, cursors, its document."""

import asyncio
import json
import subprocess
import sys

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from encore.event_rules import event_judge
from encore.events import EVENT_TYPES, Reason
from encore.judge import BreachError
from encore.settings import load_settings
from serving.app import create_app
from serving.bodies import records_of
from serving.contract import EVENT_BODY, event_intake, item_intake, take
from serving.gate import Gate
from serving.journal import Journal
from serving.keys import Role, digest, same, split
from serving.limits import Limiter
from serving.measures import Measures
from serving.problems import ProblemError
from serving.reader import Reader
from serving.recommending import of_cursor, to_cursor

NOW_MS = 1_780_000_000_000
EVENT = {
    "event_id": "0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a11",
    "schema_version": 1,
    "event_type": "like",
    "event_ts": NOW_MS,
    "user_id": "u1",
    "item_id": "t1",
}
KEY_ID, SECRET = "0123abcd", "5" * 64


def test_a_key_is_an_id_and_a_secret() -> None:
    assert split(f"encore_{KEY_ID}_{SECRET}") == (KEY_ID, SECRET)


@pytest.mark.parametrize(
    "text", ["", "encore", f"encore_{KEY_ID}_{SECRET}\n", f"Encore_{KEY_ID}_{SECRET}", SECRET, "é"]
)
def test_what_has_not_the_form_of_a_key_is_none(text: str) -> None:
    assert split(text) is None


def test_a_secret_is_known_by_its_digest_alone() -> None:
    assert same(SECRET, digest(SECRET))
    assert not same("6" + SECRET[1:], digest(SECRET))
    assert not same(SECRET, b"")


def test_each_role_may_do_what_the_ones_before_it_may() -> None:
    allowed = {one: [other for other in Role if one.allows(other)] for one in Role}
    assert allowed == {
        Role.READ: [Role.READ],
        Role.WRITE: [Role.READ, Role.WRITE],
        Role.ADMIN: [Role.READ, Role.WRITE, Role.ADMIN],
    }


def test_a_caller_has_as_many_requests_as_the_rate_and_then_waits() -> None:
    limiter = Limiter(2)
    assert [limiter.wait_seconds("a", 100.0) for _ in range(3)] == [0, 0, 0.5]
    assert limiter.wait_seconds("b", 100.0) == 0  # everyone has their own
    assert limiter.wait_seconds("a", 100.25) == 0.25  # half a request has come back
    assert limiter.wait_seconds("a", 100.5) == 0
    assert [limiter.wait_seconds("a", 200.0) for _ in range(3)] == [0, 0, 0.5]  # never more


def test_a_rate_of_zero_lets_everything_pass() -> None:
    limiter = Limiter(0)
    assert {limiter.wait_seconds("a", 0.0) for _ in range(100)} == {0.0}


def test_a_cursor_holds_what_was_shown() -> None:
    shown = [f"t{number}" for number in range(1000)]
    assert of_cursor(to_cursor(shown)) == shown


@pytest.mark.parametrize(
    "cursor",
    ["", "a", "AAAA", "é", to_cursor(["t1"])[:-3], to_cursor(["t"] * 1001), "eJyLNowFAAHTANc"],
)
def test_a_cursor_of_nobody_is_a_bad_request(cursor: str) -> None:
    with pytest.raises(ProblemError) as caught:
        of_cursor(cursor)
    assert caught.value.status == 400
    assert caught.value.errors == [{"field": "cursor", "message": "is not the `next` of an answer"}]


def test_every_call_but_those_of_health_takes_a_key() -> None:
    document = create_app(load_settings(), "", "").openapi()
    free = [
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if not operation.get("security")
    ]
    assert free == ["/api/v1/hello", "/api/v1/health/live", "/api/v1/health/ready"]


def test_every_call_says_what_it_does_and_how_it_may_fail() -> None:
    document = create_app(load_settings(), "", "").openapi()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            assert "503" in operation["responses"], path
            assert "HTTPValidationError" not in json.dumps(operation), path


def test_the_document_is_printed_without_services_and_without_loading_spark() -> None:
    program = (
        "import sys\n"
        "from encore.cli import main\n"
        "sys.argv = ['encore', 'serve', '--print-openapi']\n"
        "try:\n    main()\n"
        "finally:\n    assert not [m for m in sys.modules if m.split('.')[0] == 'pyspark']\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "/api/v1/recommend/{user}" in json.loads(done.stdout)["paths"]


def test_a_body_is_one_record_an_array_or_one_a_line() -> None:
    assert records_of(b' {"a": 1} ', "application/json") == [b'{"a": 1}']
    assert records_of(b'[{"a":1}, 2]', "application/json; charset=utf-8") == [b'{"a":1}', b"2"]
    assert records_of(b'{"a":1}\r\n\n{"a":', "application/x-ndjson") == [b'{"a":1}', b'{"a":']
    assert records_of(b'{"a":1}', "") == [b'{"a":1}']


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\n\n", "application/x-ndjson", 400),
        (b"a=1", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_that_holds_no_record_is_refused(body: bytes, media: str, status: int) -> None:
    with pytest.raises(ProblemError) as caught:
        records_of(body, media)
    assert caught.value.status == status


def test_each_record_is_judged_by_the_contract_and_told_by_its_position() -> None:
    def event(**changes: object) -> bytes:
        return json.dumps(EVENT | changes).encode()

    taken = take(
        event_intake("events", 300_000),
        [
            event(),
            event(event_type="listen", duration_ms=1000),
            b"[]",
            event(user_id="u" * 129),
            event(event_ts=NOW_MS + 300_001),
            event(event_id=7, query="what nobody reads"),
            event(user_id=17, more="unknown fields are ignored"),
        ],
        NOW_MS,
    )
    assert [key for key, _ in taken.records] == [b"u1", b"17"]
    assert taken.errors == [
        {"position": 1, "reason": Reason.MISSING, "field": "ms_played"},
        {"position": 2, "reason": Reason.MALFORMED_JSON, "field": None},
        {"position": 3, "reason": Reason.TOO_LONG, "field": "user_id"},
        {"position": 4, "reason": Reason.IN_THE_FUTURE, "field": "event_ts"},
        {"position": 5, "reason": Reason.NOT_ALLOWED, "field": "event_id"},
    ]


def test_an_item_is_keyed_by_its_id() -> None:
    value = b'{"item_id":"t1","schema_version":1,"title":"One"}'
    assert take(item_intake("items"), [value], NOW_MS).records == [(b"t1", value)]


def test_the_document_shows_the_contract() -> None:
    one = EVENT_BODY["requestBody"]["content"]["application/json"]["schema"]["anyOf"][0]
    assert one["required"] == ["event_id", "schema_version", "event_type", "event_ts", "user_id"]
    assert one["properties"]["event_type"]["enum"] == [kind.name for kind in EVENT_TYPES]
    assert one["properties"]["lat"] == {
        "type": "number",
        "description": "Latitude (degrees)",
        "minimum": -90,
        "maximum": 90,
    }


def test_what_breaks_inside_is_told_without_a_word_of_it() -> None:
    async def broken(_: Scope, __: Receive, ___: Send) -> None:
        raise RuntimeError("postgresql://someone:secret@somewhere")

    measures = Measures()
    gate = Gate(broken, measures, Journal(Reader("", connections=1, timeout_seconds=1)))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(gate)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/")

    told = asyncio.run(ask())
    assert told.status_code == 500
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json()["detail"] == "the request failed for a reason that is in the server's log"
    assert told.headers["x-content-type-options"] == "nosniff"
    assert b'status="500"} 1.0' in measures.text()
    assert b"encore_api_requests_in_hand 0.0" in measures.text()


@pytest.mark.parametrize(
    "record",
    [
        json.dumps(EVENT),
        json.dumps(EVENT | {"user_id": 7}),  # read as its JSON text
        json.dumps(EVENT | {"user_id": "åse", "unknown": {"a": [1]}}, ensure_ascii=False),
        json.dumps(EVENT | {"event_type": "listen"}),
        json.dumps(EVENT | {"event_type": "sing"}),
        json.dumps(EVENT | {"event_ts": NOW_MS + 400_000}),
        json.dumps(EVENT | {"lat": 91}),
        json.dumps(EVENT | {"user_id": "x" * 129}),
        json.dumps(EVENT | {"device": "a\x00b"}),
        json.dumps(EVENT | {"unknown": "a\x00b"}),
        json.dumps(EVENT | {"unknown": "x" * 300_000}),
        json.dumps({**EVENT, "event_id": None}),
        json.dumps(EVENT)[:-1],
        '{"unknown":' + "[" * 5_000 + "]" * 5_000 + "}",
        "",
    ],
)
def test_the_fast_way_decides_as_the_judge_does(record: str) -> None:
    decides_alike(record.encode())


def test_bytes_that_are_no_text_are_no_event_wherever_they_stand() -> None:
    decides_alike(json.dumps(EVENT | {"unknown": "?"}).encode().replace(b"?", b"\xff"))


def decides_alike(value: bytes) -> None:
    judge = event_judge(300_000)
    expected: tuple[list[bytes], list[tuple[str, str | None]]]
    try:
        expected = [str(judge.judge(value, NOW_MS)["user_id"]).encode()], []
    except BreachError as error:
        expected = [], [(error.breach.reason.value, error.breach.field)]
    taken = take(event_intake("music.events", 300_000), [value], NOW_MS)
    found = [(one["reason"], one["field"]) for one in taken.errors]
    assert ([key for key, _ in taken.records], found) == expected
