"""The API against its own document: Schemathesis makes requests from it and holds answers to it.

A few hundred requests, always the same ones. ``ENCORE_API_EXAMPLES=40`` makes thousands, those at
the bounds of every parameter among them.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from encore.events import Topics
from serving.keys import Role
from tests.api import Api, operate, seed, serving

pytestmark = pytest.mark.services

MANY = os.environ.get("ENCORE_API_EXAMPLES")
# A batch is taken though one of its records is not, and text may be given as another JSON type.
# Where a POST asks for a session or a group, a GET asks for the list of a user of that name.
LENIENT = """
[[operations]]
include-method = "POST"
include-path-regex = "/(events|items|users)$"
checks.negative_data_rejection.enabled = false

[[operations]]
include-method = "PUT"
include-path-regex = "/users/.user.$"
checks.negative_data_rejection.enabled = false

[[operations]]
include-path-regex = "/recommend/(session|group)$"
checks.allow_header_conformance.enabled = false
"""
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"


@pytest.fixture(scope="module")
def api(shared_database_url: str, kafka: str, shared_topics: Topics) -> Iterator[Api]:
    seed(shared_database_url)
    operate(shared_database_url)
    prefix = shared_topics.events.removesuffix(".events")
    with serving(
        shared_database_url, kafka, kafka_topic_prefix=prefix, serve_rate_per_second=0
    ) as running:
        yield running


def schemathesis(
    api: Api, folder: Path, examples: int, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run Schemathesis with so many examples of a call, the same ones every time."""
    (folder / "schemathesis.toml").write_text(LENIENT)
    return subprocess.run(
        [
            str(SCHEMATHESIS),
            "run",
            f"{api.url}/api/v1/openapi.json",
            "--seed=1",
            "--generation-deterministic",
            "--no-shrink",
            f"--max-examples={MANY or examples}",
            f"--phases={'examples,coverage,fuzzing' if MANY else 'examples,fuzzing'}",
            "--no-color",
            "--warnings=off",
            *arguments,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )


def requests(api: Api, statuses: str) -> int:
    """Return how many requests were answered with a status like that."""
    counted = re.findall(
        rf'encore_api_requests_total{{.*status="({statuses})"}} (\d+)', api.get("/metrics").text
    )
    return sum(int(number) for _, number in counted)


def test_with_a_key_every_answer_is_as_the_document_says(api: Api, tmp_path: Path) -> None:
    before = requests(api, "...")
    done = schemathesis(
        api,
        tmp_path,
        5,
        f"--header=X-API-Key: {api.keys[Role.ADMIN]}",
        "--exclude-checks=positive_data_acceptance",
        "--exclude-path-regex=/(stream/.*|trace)$",  # they go on
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert requests(api, "...") - before > (2000 if MANY else 150)
    assert requests(api, "500") == 0
    assert requests(api, "2..") > 50


def test_without_a_key_there_is_nothing_to_be_had(api: Api, tmp_path: Path) -> None:
    def served() -> Sequence[int]:
        return [requests(api, "2.."), requests(api, "401")]

    free = ["--exclude-path-regex=/(hello|health/live|health/ready)$"]
    before = served()
    done = schemathesis(
        api, tmp_path, 2, "--checks=not_a_server_error,content_type_conformance", *free
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    after = served()
    # The document itself, and the two looks at the measures.
    assert after[0] - before[0] == 3
    assert after[1] - before[1] > (1500 if MANY else 40)
