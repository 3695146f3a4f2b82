"""Who may ask the API, what a bad request is told, and what happens while PostgreSQL is away."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from database.engine import transaction
from serving.commands import keys_app
from serving.keys import Role
from tests.api import Api, make_keys, seed, serving
from tests.door import Door

pytestmark = pytest.mark.services

AWAY = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "PostgreSQL does not answer. Nothing is lost: send the request again.",
}


@pytest.fixture(scope="module")
def url(shared_database_url: str) -> str:
    seed(shared_database_url)
    return shared_database_url


@pytest.fixture(scope="module")
def api(url: str) -> Iterator[Api]:
    with serving(url, serve_key_seconds=0.01) as running:
        yield running


def test_without_a_key_there_is_no_answer(api: Api) -> None:
    told = api.get("/recommend/ada", role=None)
    assert told.status_code == 401
    assert told.headers["content-type"] == "application/problem+json"
    assert told.headers["www-authenticate"] == 'Bearer realm="encore"'
    assert told.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "a key is needed: send X-API-Key, or Authorization: Bearer",
    }


@pytest.mark.parametrize("wrong", ["no key", "encore_00000000_" + "0" * 64])
def test_a_key_that_nobody_has_is_refused(api: Api, wrong: str) -> None:
    told = api.client.get("/api/v1/trending", headers={"X-API-Key": wrong})
    assert told.status_code == 401


def test_the_secret_of_a_key_counts_not_its_id(api: Api) -> None:
    key = api.keys[Role.READ]
    other = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert api.client.get("/api/v1/trending", headers={"X-API-Key": other}).status_code == 401


def test_a_key_may_come_as_a_bearer_token(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.keys[Role.READ]}"}
    assert api.client.get("/api/v1/trending", headers=headers).status_code == 200


def test_keys_are_made_listed_and_revoked_by_the_command_line(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(*arguments: str) -> Result:
        with monkeypatch.context() as patch:
            patch.setattr("serving.commands.database_url", lambda: url)
            return CliRunner().invoke(keys_app, arguments)

    key = keys("make", "the shop", "--role", "write").stdout.strip()
    headers = {"X-API-Key": key}
    assert api.client.get("/api/v1/trending", headers=headers).status_code == 200
    (listed,) = [
        one for one in json.loads(keys("list", "--json").stdout) if one["name"] == "the shop"
    ]
    assert (listed["role"], listed["revoked_at"]) == ("write", None)
    assert key.split("_")[2] not in keys("list").stdout
    assert keys("revoke", listed["key_id"]).exit_code == 0
    assert api.client.get("/api/v1/trending", headers=headers).status_code == 401
    assert "there is no key" in str(keys("revoke", listed["key_id"]).exception)
    with transaction(url) as cursor:
        cursor.execute("SELECT string_agg(k::text, ' ') FROM api_keys AS k")
        ((kept,),) = cursor.fetchall()
    assert key.split("_")[2] not in kept


def test_health_and_hello_need_no_key(api: Api) -> None:
    assert api.get("/hello", role=None).json()["name"] == "encore"
    assert api.get("/health/live", role=None).json() == {"status": "live"}


def test_health_says_which_part_is_away(api: Api) -> None:
    told = api.get("/health/ready", role=None)
    assert (told.status_code, told.headers["retry-after"]) == (503, "1")
    assert told.json() == {"status": "not ready", "parts": {"postgres": "up", "kafka": "away"}}


def test_measures_count_by_route_and_never_by_id(api: Api) -> None:
    api.json("/items/t1")
    told = api.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    assert 'items/{item_id}",status="200"' in told.text
    assert "items/t1" not in told.text
    assert api.get("/metrics", role=None).status_code == 401


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/recommend/ada?n=0", "n"),
        ("/recommend/ada?n=many", "n"),
        ("/recommend/ada?offset=-1", "offset"),
        ("/recommend/ada?cursor=none", "cursor"),
        ("/recommend/a%00b", "user"),
        ("/recommend/" + "u" * 129, "user"),
        ("/recommend/ada?exclude=" + "t" * 129, "exclude.0"),
        ("/items?q=%00", "q"),
        ("/items/t1/similar?source=stars", "source"),
        ("/popular?days=0", "days"),
    ],
)
def test_a_bad_parameter_is_named(api: Api, path: str, field: str) -> None:
    told = api.get(path)
    assert told.status_code == 400
    assert told.headers["content-type"] == "application/problem+json"
    assert [one["field"] for one in told.json()["errors"]] == [field]


def test_unknown_paths_and_methods_are_problems_too(api: Api) -> None:
    unknown = api.get("/nothing")
    assert (unknown.status_code, unknown.json()["status"]) == (404, 404)
    wrong = api.client.put("/api/v1/trending", headers=api.headers(Role.READ))
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert wrong.headers["content-type"] == "application/problem+json"


def test_text_of_a_caller_is_never_a_statement(api: Api) -> None:
    mean = "'; DROP TABLE items; --"
    assert api.json(f"/recommend/{mean}", genre=mean)["recommendations"] == []
    assert api.json("/items", q=mean)["items"] == []
    assert api.json("/items", n=1)["items"]


def test_every_answer_has_the_headers_of_security(api: Api) -> None:
    refused = api.get("/trending", role=None)
    for told in (api.get("/hello", role=None), api.get("/nothing"), refused):
        assert told.headers["x-content-type-options"] == "nosniff"
        assert told.headers["x-frame-options"] == "DENY"
        assert told.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in told.headers["content-security-policy"]
        assert "server" not in told.headers


def test_browsers_of_other_pages_are_let_in_only_if_the_settings_say_so(url: str, api: Api) -> None:
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    told = api.client.options("/api/v1/trending", headers=asked)
    assert "access-control-allow-origin" not in told.headers
    with serving(url, keys=api.keys, serve_cors_origins="https://shop.example") as open_api:
        told = open_api.client.options("/api/v1/trending", headers=asked)
        assert told.headers["access-control-allow-origin"] == "https://shop.example"


def test_who_asks_too_often_is_told_when_to_come_back(url: str) -> None:
    with serving(url, serve_rate_per_second=1) as slow:
        told = [slow.get("/trending", n=1) for _ in range(10)]
        assert told[0].status_code == 200
        refused = [one for one in told if one.status_code == 429]
        assert refused
        assert refused[0].headers["retry-after"] == "1"
        assert slow.get("/trending", role=Role.WRITE).status_code == 200  # a key of its own


def test_the_api_starts_without_postgres_and_answers_when_it_is_back(url: str) -> None:
    keys = make_keys(url)
    with Door.to(url) as (door, there), serving(there, keys=keys, serve_timeout_seconds=5) as api:
        told = api.get("/trending")
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert told.json() == AWAY
        assert api.get("/health/live", role=None).status_code == 200
        door.open()
        assert api.get("/trending").status_code == 200
        door.shut()
        assert api.get("/trending").json() == AWAY
        assert api.get("/recommend/ada").json() == AWAY
        door.open()
        assert api.get("/trending").status_code == 200


def test_a_database_without_tables_is_told_as_that(
    database_url: str, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.commands.database_url", lambda: database_url)
    assert "encore migrate" in str(CliRunner().invoke(keys_app, ["make", "shop"]).exception)
    with serving(database_url, keys=api.keys) as empty:
        told = empty.get("/trending")
        assert told.status_code == 503
        assert "encore migrate" in told.json()["detail"]
