"""The exchanges in docs/api.md: every call of the API has one, and is answered as it says.

``ENCORE_WRITE_DOCS=1`` writes the answers of this run into the document.
"""

import json
import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx
import pytest

from encore.events import Topics
from encore.paths import PROJECT_ROOT
from serving.keys import Role
from tests.api import Api, operate, seed, serving
from tests.live import execute, wait_until

pytestmark = pytest.mark.services

DOCUMENT = PROJECT_ROOT / "docs" / "api.md"
EXCHANGE = re.compile(
    r"^```http\n(?P<request>(?:GET|POST|PUT|DELETE) .*?)\n```\n"
    r"(?:\n```http\n(?P<answer>HTTP/1\.1 .*?)\n```\n)?",
    flags=re.MULTILINE | re.DOTALL,
)


EXPERIMENT = """
INSERT INTO experiments VALUES ('caps', '2026-05-02 12:00Z', '2026-05-09 12:00Z');
INSERT INTO experiment_variants (experiment, variant, place, bucket_from, bucket_to, max_per_artist)
VALUES ('caps', 'control', 1, 0, 5000, 0), ('caps', 'two', 2, 5000, 10000, 2);
INSERT INTO recommendation_outcomes
VALUES ('2026-05-02 12:00Z', 1, 'caps:control', 'personal', 1, 800, 96, 60, 20, 9),
       ('2026-05-02 12:00Z', 1, 'caps:two', 'personal', 1, 700, 112, 70, 22, 14);
"""


class Exchange(NamedTuple):
    """A request as the document shows it, and its answer."""

    request: str
    status: str
    body: str


def exchanges() -> list[Exchange]:
    found = []
    for one in EXCHANGE.finditer(DOCUMENT.read_text(encoding="utf-8")):
        head, _, body = (one["answer"] or "").partition("\n\n")
        found.append(Exchange(one["request"], head.split("\n")[0], body))
    return found


@pytest.fixture(scope="module")
def api(shared_database_url: str, kafka: str, shared_topics: Topics) -> Iterator[Api]:
    seed(shared_database_url)
    execute(shared_database_url, EXPERIMENT)
    operate(shared_database_url)
    prefix = shared_topics.events.removesuffix(".events")
    with serving(shared_database_url, kafka, kafka_topic_prefix=prefix) as running:
        yield running


def send(api: Api, request: str) -> httpx.Response:
    head, _, body = request.partition("\n\n")
    (method, path), *lines = [line.split(" ", 1) for line in head.split("\n")]
    headers = {name.rstrip(":"): value for name, value in lines}
    return api.client.request(
        method, path, headers=headers | api.headers(Role.ADMIN), content=body or None
    )


def status_of(told: httpx.Response) -> str:
    return f"HTTP/1.1 {told.status_code} {HTTPStatus(told.status_code).phrase}"


def alike(shown: Any, told: Any) -> bool:
    """Compare names and types; null stands for any type, the first entry of a list for all."""
    if shown is None or told is None:
        return True
    if isinstance(shown, dict) and isinstance(told, dict):
        return shown.keys() == told.keys() and all(alike(shown[one], told[one]) for one in shown)
    if isinstance(shown, list) and isinstance(told, list):
        return all(alike(one, another) for one in shown[:1] for another in told)
    return type(shown) is type(told)


def test_every_call_has_an_exchange_in_the_document(api: Api) -> None:
    paths = api.client.get("/api/v1/openapi.json").json()["paths"]
    calls = {
        (method.upper(), re.compile(re.sub(r"\\{.*?\\}", "[^/?]+", re.escape(path)) + r"[/\w]*"))
        for path, operations in paths.items()
        for method in operations
    }
    shown = [one.request.split("\n")[0].split(" ") for one in exchanges()]
    lacking = [
        (method, path.pattern)
        for method, path in calls
        if not any(
            method == verb and path.fullmatch(place.partition("?")[0]) for verb, place in shown
        )
    ]
    assert lacking == []
    assert len(shown) == len(calls)


def test_every_exchange_of_the_document_is_what_happens(api: Api) -> None:
    send(api, "PUT /api/v1/preference/ada/t4")
    wait_until(lambda: bool(api.get("/writes", Role.ADMIN).json()["writes"]), "it is on record")
    if os.environ.get("ENCORE_WRITE_DOCS"):
        write(api)
    as_before(api)
    for one in exchanges():
        told = send(api, one.request)
        assert status_of(told) == one.status, (one.request, told.text)
        if told.headers["content-type"] == "application/json":
            assert alike(json.loads(one.body), told.json()), (one.request, told.text)
        else:
            name = one.body.split("\n")[0]
            assert name in told.text


def as_before(api: Api) -> None:
    """Show readers the first run, whatever an exchange did."""
    execute(api.database_url, "UPDATE published_run SET model_run_id = 1")
    execute(
        api.database_url,
        "UPDATE model_runs"
        " SET status = CASE model_run_id WHEN 1 THEN 'published' ELSE 'superseded' END",
    )


def write(api: Api) -> None:
    def answered(one: re.Match[str]) -> str:
        told = send(api, one["request"])
        if told.headers["content-type"] == "application/json":
            body = json.dumps(told.json(), indent=2)
        else:
            lines = [shortened(line) for line in told.text.rstrip().split("\n")]
            body = "\n".join([*lines[:4], "…"] if len(lines) > 4 else lines)
        return f"```http\n{one['request']}\n```\n\n```http\n{status_of(told)}\n\n{body}\n```\n"

    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(EXCHANGE.sub(answered, text), encoding="utf-8")


def shortened(line: str) -> str:
    return line if len(line) < 100 else line[:99] + "…"
