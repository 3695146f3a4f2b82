"""What the API scores by the published model: sessions, groups, reasons, estimates."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from database.engine import transaction
from database.migrate import upgrade
from recommender.artifact import save
from recommender.publish import publish
from serving.keys import Role
from tests.api import Api, make_keys, serving
from tests.live import does, execute, make_run, wait_until
from tests.models import model_of

pytestmark = pytest.mark.services

# Two tastes at right angles: Y'Y is 2 on the diagonal. Confidence 1 + weight, regularisation 1
# for each item that a listener likes.
FACTORS = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (1.0, 0.0), "d": (0.0, 1.0)}
NONE_YET = "no model is published yet: `encore train` publishes one."


@pytest.fixture(scope="module")
def url(shared_database_url: str) -> str:
    upgrade(shared_database_url)
    execute(
        shared_database_url,
        "INSERT INTO feature_settings VALUES ('feature_affinity_half_life_days', 30)",
    )
    execute(
        shared_database_url,
        "INSERT INTO items (item_id, title) SELECT i, 'Track ' || upper(i)"
        " FROM unnest('{a,b,c,d,e}'::text[]) AS i",
    )
    does(shared_database_url, "ada", "a", signal=1.0)
    does(shared_database_url, "bob", "b", signal=3.0)
    does(shared_database_url, "sad", "a", signal=1.0, dislikes=1)
    return shared_database_url


@pytest.fixture(scope="module")
def api(url: str) -> Iterator[Api]:
    publish_model(url, FACTORS)
    with serving(url) as running:
        yield running


def publish_model(url: str, factors: dict[str, tuple[float, float]]) -> int:
    run = make_run(url, rank=2, alpha=1.0, regularization=1.0)
    with transaction(url) as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM data_to) FROM model_runs WHERE model_run_id = %s", (run,)
        )
        ((now_s,),) = cursor.fetchall()
        save(cursor, run, model_of(factors, alpha=1.0, regularization=1.0, now_s=float(now_s)))
    publish(url, run, keep=5)
    return run


def post(api: Api, path: str, body: Any) -> httpx.Response:
    return api.client.post(f"/api/v1{path}", json=body, headers=api.headers(Role.READ))


def test_before_there_is_a_model_it_is_said_what_makes_one(database_url: str) -> None:
    upgrade(database_url)
    with serving(database_url) as empty:
        told = post(empty, "/recommend/session", {"items": [{"item_id": "a"}]})
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert told.json()["detail"].startswith(NONE_YET)
        for path in ("/because/ada/a", "/estimate/ada/a"):
            assert empty.get(path).status_code == 503


def test_a_session_is_recommended_by_what_it_did(api: Api) -> None:
    told = post(
        api,
        "/recommend/session",
        {"items": [{"item_id": "a", "weight": 0.5}, {"item_id": "a", "weight": 0.5},
                   {"item_id": "z"}], "n": 2},
    ).json()  # fmt: skip
    assert told["unknown"] == ["z"]
    assert [
        (one["rank"], one["item"]["item_id"], one["score"], one["reason"])
        for one in told["recommendations"]
    ] == [
        (1, "c", pytest.approx(0.5), "because of Track A"),
        (2, "b", pytest.approx(0.0), "because of Track A"),
    ]
    assert told["recommendations"][0]["model_run_id"] == told["model_run_id"]
    assert told["recommendations"][0]["item"]["title"] == "Track C"


def test_a_session_of_unknown_items_gets_what_is_popular(api: Api) -> None:
    told = post(api, "/recommend/session", {"items": [{"item_id": "z"}], "exclude": ["a"]}).json()
    assert [(one["item"]["item_id"], one["source"]) for one in told["recommendations"]] == [
        (item, "popular") for item in "bcde"
    ]


def test_a_group_is_recommended_what_suits_all(api: Api) -> None:
    told = post(api, "/recommend/group", {"users": ["ada", "bob", "nobody", "sad"]}).json()
    assert told["unknown"] == ["nobody", "sad"]
    assert [
        (one["item"]["item_id"], one["score"], one["reason"]) for one in told["recommendations"]
    ] == [
        ("d", pytest.approx(1 / 3), "because bob played Track B"),
        ("c", pytest.approx(1 / 4), "because ada played Track A"),
    ]
    assert told["recommendations"][1]["by_user"] == {
        "ada": pytest.approx(1 / 2),
        "bob": pytest.approx(0.0),
    }
    strangers = post(api, "/recommend/group", {"users": ["nobody"], "n": 1}).json()
    assert strangers["recommendations"][0]["source"] == "popular"


def test_why_is_told_by_shares_that_add_up(api: Api) -> None:
    told = api.json("/because/ada/c")
    assert told["estimate"] == pytest.approx(0.5)
    assert [(one["item"]["item_id"], one["share"]) for one in told["because"]] == [
        ("a", pytest.approx(0.5))
    ]
    assert api.get("/because/ada/z").status_code == 404
    assert api.get("/because/sad/c").status_code == 404


def test_what_a_listener_would_prefer_is_estimated(api: Api) -> None:
    told = api.json("/estimate/bob/d/a/z")
    assert told["estimates"] == [
        {"item_id": "d", "estimate": pytest.approx(2 / 3)},
        {"item_id": "a", "estimate": pytest.approx(0.0)},
        {"item_id": "z", "estimate": None},
    ]
    assert api.get("/estimate/nobody/a").status_code == 404
    assert api.get("/estimate/ada/" + "/".join("a" * 101)).status_code == 200  # one, repeated
    many = "/".join(f"i{number}" for number in range(101))
    assert api.get(f"/estimate/ada/{many}").status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({"items": []}, 422, ["items"]),
        ({"items": [{"item_id": "a", "weight": 0}]}, 422, ["items.0.weight"]),
        ({"items": [{"item_id": "a"}], "n": 0, "m": 1}, 422, ["n", "m"]),
        ([], 422, [None]),
    ],
)
def test_a_body_that_is_wrong_is_told_by_field(
    api: Api, body: Any, status: int, fields: list[str | None]
) -> None:
    told = post(api, "/recommend/session", body)
    assert told.status_code == status
    assert [one["field"] for one in told.json()["errors"]] == fields


def test_a_body_that_is_no_json_is_a_bad_request(api: Api) -> None:
    told = api.client.post("/api/v1/recommend/group", content=b"{", headers=api.headers(Role.READ))
    assert told.status_code == 400


def test_a_run_that_is_published_is_used_from_then_on(api: Api, url: str) -> None:
    before = api.json("/estimate/ada/c")["model_run_id"]
    after = publish_model(url, FACTORS | {"c": (0.0, 1.0)})
    assert after != before

    def estimate() -> dict[str, Any]:
        told: dict[str, Any] = api.json("/estimate/ada/c")
        return told

    wait_until(lambda: estimate()["model_run_id"] == after, "the new run answers")
    assert estimate()["estimates"][0]["estimate"] == pytest.approx(0.0)
    assert f"encore_api_model_run {after}.0" in api.get("/metrics").text


def test_a_damaged_model_is_told_as_that_and_lists_go_on(url: str) -> None:
    run = publish_model(url, FACTORS)
    execute(url, "UPDATE model_artifacts SET sha256 = 'other' WHERE model_run_id = %s", run)
    with serving(url, keys=make_keys(url)) as api:
        told = api.get("/estimate/ada/c")
        assert told.status_code == 503
        assert told.json()["detail"].startswith(f"the model of run {run} cannot be loaded")
        assert api.get("/recommend/ada").status_code == 200
