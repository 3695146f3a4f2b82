"""What the API answers of recommendations, items and listeners, from a small database."""

from collections.abc import Iterator
from typing import Any

import pytest

from database.engine import transaction
from recommender.answers import recommend_to
from tests.api import Api, seed, serving

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def api(shared_database_url: str) -> Iterator[Api]:
    seed(shared_database_url)
    with serving(shared_database_url) as running:
        yield running


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [one["item"]["item_id"] for one in entries]


def recommended(api: Api, user: str, **parameters: Any) -> list[str]:
    return ids(api.json(f"/recommend/{user}", **parameters)["recommendations"])


def test_a_list_says_what_why_by_which_run_and_how_fresh(api: Api) -> None:
    told = api.json("/recommend/ada", n=1)
    assert told.pop("next")
    assert told == {
        "user_id": "ada",
        "known": True,
        "model_run_id": 1,
        "algorithm": "als",
        "published_at": "2026-05-01T12:01:00+00:00",
        "data_to": "2026-05-01T12:00:00+00:00",
        "made_by": "run",
        "made_at": "2026-05-01T12:01:00+00:00",
        "variant": None,
        "recommendations": [
            {
                "rank": 1,
                "score": 0.9,
                "source": "personal",
                "reason": "because of Crimson Candles",
                "model_run_id": 1,
                "item": {
                    "item_id": "t3",
                    "title": "Winter Seasons",
                    "artist_id": "a1",
                    "artist": "The Lanterns",
                    "album_id": None,
                    "album": None,
                    "genres": ["Jazz"],
                    "duration_ms": 203000,
                    "released_at": "2026-01-03T00:00:00+00:00",
                },
            }
        ],
    }


@pytest.mark.parametrize("user", ["ada", "new", "ghost", "nobody"])
def test_the_api_and_the_command_line_say_the_same(api: Api, user: str) -> None:
    told = api.json(f"/recommend/{user}", n=6)
    with transaction(api.database_url) as cursor:
        answer = recommend_to(cursor, user, 6).as_dict()
    assert [
        {
            "rank": one["rank"],
            "item_id": one["item"]["item_id"],
            "title": one["item"]["title"],
            "artist": one["item"]["artist"],
            "score": pytest.approx(one["score"]),
            "source": one["source"],
            "reason": one["reason"],
        }
        for one in told["recommendations"]
    ] == answer["recommendations"]
    for name in ("user_id", "known", "model_run_id", "algorithm", "published_at", "data_to"):
        assert told[name] == answer[name]


def test_a_list_can_be_narrowed(api: Api) -> None:
    # t3 t5 t4 are the run's; t6 trends in ada's country, t7 is left
    assert recommended(api, "ada") == ["t3", "t5", "t4", "t6", "t7"]
    assert recommended(api, "ada", genre="Folk") == ["t4", "t6"]
    assert recommended(api, "ada", exclude=["t3", "t4"]) == ["t5", "t6", "t7"]
    assert recommended(api, "ada", exclude_known="false", n=4) == ["t3", "t2", "t5", "t4"]
    assert recommended(api, "ada", max_per_artist=1) == ["t3", "t5", "t7"]
    assert recommended(api, "ada", max_per_genre=1) == ["t3", "t4", "t7"]
    assert recommended(api, "ada", n=2, offset=1) == ["t5", "t4"]


def test_the_next_page_goes_on_where_the_one_before_ended(api: Api) -> None:
    first = api.json("/recommend/ada", n=2)
    second = api.json("/recommend/ada", n=2, cursor=first["next"])
    third = api.json("/recommend/ada", n=2, cursor=second["next"])
    assert [ids(one["recommendations"]) for one in (first, second, third)] == [
        ["t3", "t5"],
        ["t4", "t6"],
        ["t7"],
    ]
    assert [one["rank"] for one in second["recommendations"]] == [3, 4]
    assert third["next"] is None


def test_a_play_between_two_pages_neither_repeats_an_item_nor_leaves_one_out(api: Api) -> None:
    first = api.json("/recommend/ada", n=2)
    with transaction(api.database_url) as cursor:
        cursor.execute(
            "INSERT INTO user_item_affinity (user_id, item_id, signal, first_at, last_at)"
            " VALUES ('ada', 't3', 1, now(), now())"
        )
    try:
        second = api.json("/recommend/ada", n=2, cursor=first["next"])
        by_place = recommended(api, "ada", n=2, offset=2)
    finally:
        with transaction(api.database_url) as cursor:
            cursor.execute("DELETE FROM user_item_affinity WHERE item_id = 't3'")
    assert ids(second["recommendations"]) == ["t4", "t6"]
    assert by_place == ["t6", "t7"]  # t4 moved up, out of the second page


def test_a_list_made_since_the_run_says_so(api: Api) -> None:
    with transaction(api.database_url) as cursor:
        cursor.execute(
            "INSERT INTO live_recommendations VALUES ('new', 1, '2026-05-01 12:02+00', '{t4}',"
            " '{0.5}', '{personal}', '{because of Moving Angels}')"
        )
    told = api.json("/recommend/new", n=2)
    assert (told["made_by"], told["made_at"]) == ("live", "2026-05-01T12:02:00+00:00")
    assert [(one["source"], one["model_run_id"]) for one in told["recommendations"]] == [
        ("personal", 1),
        ("popular", None),
    ]


def test_items_are_found_by_text_and_by_what_is_nearly_that(api: Api) -> None:
    def found(**parameters: Any) -> list[str]:
        return [one["item_id"] for one in api.json("/items", **parameters)["items"]]

    assert found(q="wasted") == ["t4"]
    assert found(q="crimson candels") == ["t1"]
    assert found(q="lanterns") == ["t1", "t2", "t3"]
    assert found(q="candle", genre="Folk") == ["t1", "t6"]
    assert found(q="100%") == ["t6"]
    assert found(q="t_R") == ["t7"]
    assert found(q="zzzz") == []
    assert found(artist_id="a2", n=2) == ["t4", "t5"]
    assert found(genre="Jazz") == ["t1", "t3", "t5"]


def test_items_come_in_pages(api: Api) -> None:
    told = api.json("/items", n=3, offset=3)
    assert [one["item_id"] for one in told["items"]] == ["t4", "t5", "t6"]
    assert (told["offset"], told["more"]) == (3, True)
    assert api.json("/items", n=4, offset=3)["more"] is False


def test_an_item_is_shown_with_all_that_was_announced(api: Api) -> None:
    assert api.json("/items/t1") == {
        "item_id": "t1",
        "title": "Crimson Candles",
        "artist_id": "a1",
        "artist": "The Lanterns",
        "album_id": "al1",
        "album": "First Light",
        "genres": ["Jazz", "Folk"],
        "duration_ms": 201000,
        "released_at": "2026-01-01T00:00:00+00:00",
    }
    assert api.get("/items/t99").status_code == 404


def test_similar_items_say_what_says_so(api: Api) -> None:
    told = api.json("/items/t1/similar")
    assert told["model_run_id"] == 1
    assert [(one["rank"], one["item"]["item_id"], one["source"]) for one in told["similar"]] == [
        (1, "t3", "factors"),
        (2, "t2", "text"),
    ]
    assert ids(api.json("/items/t1/similar", source="text")["similar"]) == ["t2"]
    assert api.json("/items/t7/similar")["similar"] == []
    assert api.get("/items/t99/similar").status_code == 404


def test_what_trends_is_told_everywhere_by_country_and_by_genre(api: Api) -> None:
    told = api.json("/trending", n=2)
    assert ids(told["items"]) == ["t1", "t2"]
    assert told["items"][0]["score"] == pytest.approx(32, rel=0.05)  # 2 ^ 5, as of now
    assert ids(api.json("/trending", country="SE")["items"]) == ["t5", "t6"]
    assert ids(api.json("/trending", country="SE", genre="Folk")["items"]) == ["t6"]
    assert ids(api.json("/trending", genre="Jazz", offset=1)["items"]) == ["t3", "t5"]


def test_what_was_played_most_is_told_by_days(api: Api) -> None:
    told = api.json("/popular", days=3)
    assert [(one["item"]["item_id"], one["plays"]) for one in told["items"]] == [
        ("t1", 9),
        ("t2", 8),
        ("t3", 7),
    ]
    assert ids(api.json("/popular", days=7, genre="Folk", n=2)["items"]) == ["t1", "t2"]


def test_the_latest_come_first(api: Api) -> None:
    told = api.json("/latest", n=3)
    assert [one["item_id"] for one in told["items"]] == ["t7", "t5", "t4"]
    assert told["more"] is True
    assert [one["item_id"] for one in api.json("/latest", genre="Folk")["items"]] == [
        "t4",
        "t2",
        "t1",
    ]


def test_a_listener_is_shown_announced_or_not(api: Api) -> None:
    told = api.json("/users/ada")
    assert (told["announced"], told["name"], told["country"], told["birth_year"]) == (
        True,
        "Ada Sten",
        "SE",
        1985,
    )
    assert (api.json("/users/ghost")["announced"], api.json("/users/ghost")["name"]) == (
        False,
        None,
    )
    for path in ("", "/features", "/history", "/known"):
        assert api.get(f"/users/nobody{path}").status_code == 404


def test_features_say_what_a_listener_likes(api: Api) -> None:
    told = api.json("/users/ada/features")
    assert told["activity"]["plays"] == 2
    assert told["activity"]["minutes_played"] == 2.0
    assert told["activity"]["sessions"] == 1
    assert {one["genre"]: one["plays"] for one in told["genres"]} == {"Folk": 2, "Jazz": 1}
    assert [(one["artist_id"], one["artist"]) for one in told["artists"]] == [
        ("a1", "The Lanterns")
    ]
    assert api.json("/users/new/features") == {
        "user_id": "new",
        "activity": None,
        "genres": [],
        "artists": [],
    }


def test_history_is_the_newest_first_and_known_is_what_is_left_out(api: Api) -> None:
    told = api.json("/users/ada/history", n=1)
    assert (ids(told["history"]), told["more"]) == (["t2"], True)
    assert told["history"][0]["signal"] == 0.5
    assert ids(api.json("/users/ada/history", offset=1)["history"]) == ["t1"]
    assert api.json("/users/ada/known")["item_ids"] == ["t1", "t2"]
    assert api.json("/users/new/known") == {
        "user_id": "new",
        "item_ids": [],
        "offset": 0,
        "more": False,
    }
