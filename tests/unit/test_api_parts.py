"""The parts of the API that need no service: keys, limits, cursors, its document."""

import json
import subprocess
import sys

import pytest

from encore.settings import load_settings
from serving.app import create_app
from serving.keys import Role, digest, same, split
from serving.limits import Limiter
from serving.problems import ProblemError
from serving.recommending import of_cursor, to_cursor

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
