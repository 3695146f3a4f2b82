"""Lists as they were at a past moment, and what is said where nobody can tell."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api import Api, seed, serving
from tests.live import execute

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def api(shared_database_url: str) -> Iterator[Api]:
    seed(shared_database_url)
    execute(
        shared_database_url,
        "INSERT INTO run_switches VALUES ('2026-05-01 12:01+00', 1), ('2026-05-02 12:00+00', 2)",
    )
    with serving(shared_database_url) as running:
        yield running


def at(api: Api, moment: str, **parameters: Any) -> tuple[list[str], str, bool]:
    told = api.json("/recommend/ada", as_of=moment, **parameters)
    assert told["model_run_id"] == 1
    items = [one["item"]["item_id"] for one in told["recommendations"]]
    return items, told["made_by"], told["certain"]


def test_a_list_of_the_past_is_that_of_the_run_then_without_what_was_known_then(api: Api) -> None:
    # ada first heard t2 at 12:00
    assert at(api, "2026-05-01T12:30:00Z") == (["t3", "t5", "t4"], "run", True)
    assert at(api, "2026-05-01T14:30:00+02:00", n=2, offset=1) == (["t5", "t4"], "run", True)
    assert at(api, "2026-05-01T12:30:00Z", exclude_known="false", exclude="t5", genre="Folk") == (
        ["t2", "t4"],
        "run",
        True,
    )


def test_of_live_lists_only_the_newest_is_known_and_the_answer_says_so(api: Api) -> None:
    execute(
        api.database_url,
        "INSERT INTO live_recommendations VALUES ('ada', 1, '2026-05-01 13:00+00', '{t6}', '{1}',"
        " '{personal}', '{so}')",
    )
    assert at(api, "2026-05-01T13:30:00Z") == (["t6"], "live", True)
    assert at(api, "2026-05-01T12:30:00Z") == (["t3", "t5", "t4"], "run", False)


@pytest.mark.parametrize(
    ("user", "moment", "status", "said"),
    [
        ("ada", "2026-05-01T12:00:00Z", 404, "no switch of runs as early as that is on record"),
        ("ada", "2026-05-02T12:00:00Z", 404, "run 2, which was published then, is not kept"),
        ("nobody", "2026-05-01T12:30:00Z", 404, "run 1, which was published then, has no list"),
        ("ada", "2999-01-01T00:00:00Z", 400, "lies in the future"),
        ("ada", "0001-01-01T00:00:00%2B14:00", 400, "before 1970"),
        ("ada", "2026-05-01T12:30:00", 400, "timezone"),
    ],
)
def test_where_nobody_can_tell_it_is_said_why(
    api: Api, user: str, moment: str, status: int, said: str
) -> None:
    told = api.get(f"/recommend/{user}?as_of={moment}")
    assert (told.status_code, said in told.json()["detail"]) == (status, True), told.text
