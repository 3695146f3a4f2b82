"""What each kind of user is recommended, by the database's own functions and the command."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from tests.programs import encore

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

pytestmark = pytest.mark.services

T0 = "2026-05-01 12:00:00+00"


@pytest.fixture
def url(database_url: str) -> str:
    from database.migrate import upgrade

    upgrade(database_url)
    return database_url


@pytest.fixture
def cursor(url: str) -> "Iterator[Cursor]":
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as opened:
        connection.autocommit = True
        yield opened


@pytest.fixture
def music(cursor: "Cursor") -> "Cursor":
    """Six played tracks of two genres, hotter the smaller their number; t7 was only skipped."""
    cursor.execute(
        """
        INSERT INTO feature_settings VALUES ('feature_affinity_half_life_days', 30),
                                            ('feature_trend_half_life_hours', 6);
        INSERT INTO artists VALUES ('a1', 'The Artist');
        INSERT INTO genres VALUES ('Folk'), ('Jazz');
        INSERT INTO items (item_id, title, artist_id, released_at)
        SELECT 't' || n, 'Track ' || n, 'a1', timestamptz '2026-01-01' + n * interval '1 day'
          FROM generate_series(1, 9) AS n;
        INSERT INTO item_genres VALUES ('t1', 'Jazz', 1), ('t2', 'Folk', 1), ('t3', 'Jazz', 1),
                                       ('t4', 'Folk', 1), ('t5', 'Jazz', 1), ('t6', 'Folk', 1);
        INSERT INTO users (user_id, country) VALUES ('folk', 'SE'), ('swede', 'SE'),
                                                    ('nowhere', NULL);
        INSERT INTO item_trends
        SELECT '', 't' || n, 2 ^ (6 - n), timestamptz '2026-05-01 12:00+00', 106 - n
          FROM generate_series(1, 6) AS n
         UNION ALL SELECT '', 't7', 0, timestamptz '2026-05-01 12:00+00', NULL
         UNION ALL SELECT 'SE', 't5', 2, timestamptz '2026-05-01 12:00+00', 101
         UNION ALL SELECT 'SE', 't6', 1, timestamptz '2026-05-01 12:00+00', 100;
        """
    )
    know(cursor, "folk", "t2", signal=1.0)
    return cursor


def know(cursor: "Cursor", user: str, item: str, *, signal: float, dislikes: int = 0) -> None:
    cursor.execute(
        "INSERT INTO user_item_affinity (user_id, item_id, signal, dislikes, first_at, last_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (user, item, signal, dislikes, T0, T0),
    )


def list_for(cursor: "Cursor", user: str, n: int) -> list[tuple[str, str]]:
    cursor.execute("SELECT rank, item_id, source FROM recommendations_for(%s, %s)", (user, n))
    rows = cursor.fetchall()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    return [(row[1], row[2]) for row in rows]


def publish_lists(url: str, lists: dict[str, Sequence[str]]) -> int:
    import pyarrow as pa

    from recommender.publish import prepare, publish, table_of, write_task
    from recommender.runs import start_run

    run = start_run(url, "als", {})
    prepare(url, run)
    rows = [
        (user, rank, item) for user, items in lists.items() for rank, item in enumerate(items, 1)
    ]
    batch = pa.RecordBatch.from_pydict(
        {
            "model_run_id": [run for _ in rows],
            "user_id": [row[0] for row in rows],
            "rank": pa.array([row[1] for row in rows], pa.int16()),
            "item_id": [row[2] for row in rows],
            "score": [1.0 - row[1] / 100 for row in rows],
            "source": ["personal" for _ in rows],
            "reason": ["because of Track 2" for _ in rows],
        }
    )
    write_task(url, table_of("recommendations", run), 0, iter([batch]))
    publish(url, run, keep=5)
    return run


def test_a_user_without_a_model_gets_genre_then_country_then_popular_then_new(
    music: "Cursor",
) -> None:
    assert list_for(music, "folk", 9) == [
        ("t4", "genre"),
        ("t6", "genre"),
        ("t5", "trending"),
        ("t1", "popular"),
        ("t3", "popular"),
        ("t7", "popular"),  # played, though only skipped
        ("t9", "popular"),  # never played: the newest first
        ("t8", "popular"),
    ]


def test_each_row_says_why(music: "Cursor") -> None:
    music.execute("SELECT item_id, score, reason FROM recommendations_for('folk', 9)")
    said = {row[0]: (row[1], row[2]) for row in music.fetchall()}
    assert said["t4"] == (pytest.approx(1.0), "because you like Folk")
    assert said["t6"] == (pytest.approx(0.25), "because you like Folk")  # 2^(100 - 102)
    assert said["t5"] == (pytest.approx(1.0), "trending in SE")
    assert said["t3"] == (pytest.approx(0.25), "popular")
    assert said["t9"] == (0.0, "new in the catalogue")


def test_a_user_who_has_done_nothing_gets_their_country_first(music: "Cursor") -> None:
    assert list_for(music, "swede", 3) == [
        ("t5", "trending"), ("t6", "trending"), ("t1", "popular"),
    ]  # fmt: skip


@pytest.mark.parametrize("user", ["nowhere", "never heard of", "'; DROP TABLE items; --", ""])
def test_a_user_nobody_knows_anything_of_gets_what_is_popular(music: "Cursor", user: str) -> None:
    assert list_for(music, user, 2) == [("t1", "popular"), ("t2", "popular")]


def test_two_genres_share_by_how_much_they_are_liked(music: "Cursor") -> None:
    know(music, "folk", "t1", signal=3.0)
    # Jazz 3/4, Folk 1/4: t3 .75, t4 .25, t5 .75 / 4, t6 .25 / 4
    assert list_for(music, "folk", 4) == [(item, "genre") for item in ("t3", "t4", "t5", "t6")]


def test_disliked_items_are_known_and_their_genre_is_not_liked(music: "Cursor") -> None:
    know(music, "swede", "t5", signal=0.0, dislikes=1)
    assert list_for(music, "swede", 2) == [("t6", "trending"), ("t1", "popular")]


def test_a_list_of_one_genre_holds_nothing_else_at_any_step(music: "Cursor", url: str) -> None:
    publish_lists(url, {"folk": ["t1", "t6", "t8"]})
    assert narrowed(music, "folk", "Folk", []) == ["t6", "t4"]
    assert narrowed(music, "swede", "Jazz", []) == ["t5", "t1", "t3"]
    assert narrowed(music, "swede", "Polka", []) == []


def test_what_is_excluded_is_left_out_and_the_list_is_filled_up(music: "Cursor", url: str) -> None:
    publish_lists(url, {"folk": ["t1", "t6", "t8"]})
    assert narrowed(music, "folk", None, ["t6", "t4"])[:4] == ["t1", "t8", "t5", "t3"]


def test_what_a_listener_came_to_know_stays_if_asked_for(music: "Cursor", url: str) -> None:
    publish_lists(url, {"folk": ["t1", "t2"]})
    assert narrowed(music, "folk", None, [])[:2] == ["t1", "t4"]
    assert narrowed(music, "folk", None, [], known=True)[:3] == ["t1", "t2", "t4"]


def narrowed(
    cursor: "Cursor", user: str, genre: str | None, exclude: list[str], *, known: bool = False
) -> list[str]:
    cursor.execute(
        "SELECT item_id FROM recommendations_for(%s, 9, %s, %s, %s) ORDER BY rank",
        (user, genre, exclude, known),
    )
    return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def ages(music: "Cursor") -> "Cursor":
    """What the eighties like is not what anyone likes; nobody has listened who was born in 1990."""
    music.execute(
        """
        INSERT INTO users (user_id, country, birth_year)
        VALUES ('swede of 1985', 'SE', 1985), ('someone of 1980', NULL, 1980),
               ('someone of 1990', NULL, 1990), ('folk of 1989', NULL, 1989);
        INSERT INTO age_popularity (birth_decade, rank, item_id, listeners, score)
        VALUES (1970, 1, 't2', 9, 9), (1980, 1, 't8', 4, 4), (1980, 2, 't6', 3, 2),
               (1980, 3, 't4', 2, 1), (1980, 4, 't3', 2, 1);
        """
    )
    know(music, "folk of 1989", "t2", signal=1.0)
    return music


def test_a_new_listener_gets_what_their_age_likes_behind_their_country_before_what_is_popular(
    ages: "Cursor",
) -> None:
    ages.execute("SELECT item_id, source, reason FROM recommendations_for('swede of 1985', 7)")
    assert ages.fetchall() == [
        ("t5", "trending", "trending in SE"),
        ("t6", "trending", "trending in SE"),
        ("t8", "popular", "popular with your age group"),
        ("t4", "popular", "popular with your age group"),  # as popular as t3: in the table's order
        ("t3", "popular", "popular with your age group"),
        ("t1", "popular", "popular"),
        ("t2", "popular", "popular"),
    ]


def test_what_an_age_likes_is_scored_by_the_most_popular_that_is_left(ages: "Cursor") -> None:
    ages.execute("SELECT item_id, score FROM recommendations_for('someone of 1980', 3)")
    assert ages.fetchall() == [("t8", 1.0), ("t6", 0.5), ("t4", 0.25)]
    know(ages, "someone of 1980", "t8", signal=0.0)
    ages.execute("SELECT item_id, score FROM recommendations_for('someone of 1980', 2)")
    assert ages.fetchall() == [("t6", 1.0), ("t4", 0.5)]


def test_what_an_age_likes_has_nothing_that_the_listener_knows_or_is_told_already(
    url: str, ages: "Cursor"
) -> None:
    publish_lists(url, {"folk of 1989": ["t8"]})
    assert list_for(ages, "folk of 1989", 6) == [
        ("t8", "personal"), ("t4", "genre"), ("t6", "genre"),
        ("t3", "popular"),  # the eighties', less t2, t4, t6 and t8
        ("t1", "popular"), ("t5", "popular"),
    ]  # fmt: skip
    ages.execute("SELECT reason FROM recommendations_for('folk of 1989', 6) WHERE rank > 3")
    assert [row[0] for row in ages.fetchall()] == [
        "popular with your age group", "popular", "popular",
    ]  # fmt: skip


@pytest.mark.parametrize("user", ["nowhere", "never heard of", "someone of 1990"])
def test_without_a_year_of_birth_or_listeners_of_that_age_nothing_changes(
    ages: "Cursor", user: str
) -> None:
    ages.execute("SELECT item_id, reason FROM recommendations_for(%s, 3)", (user,))
    assert ages.fetchall() == [("t1", "popular"), ("t2", "popular"), ("t3", "popular")]


def test_what_an_age_likes_is_listed_only_as_far_as_there_is_room(ages: "Cursor") -> None:
    assert list_for(ages, "swede of 1985", 2) == [("t5", "trending"), ("t6", "trending")]
    assert list_for(ages, "swede of 1985", 3)[2:] == [("t8", "popular")]
    assert list_for(ages, "swede of 1985", 0) == []


def test_personal_rows_come_first_without_what_became_known_since(
    url: str, music: "Cursor"
) -> None:
    publish_lists(url, {"folk": ["t9", "t6", "t8"]})
    assert list_for(music, "folk", 3) == [(item, "personal") for item in ("t9", "t6", "t8")]
    know(music, "folk", "t6", signal=0.0)
    assert list_for(music, "folk", 4) == [
        ("t9", "personal"), ("t8", "personal"), ("t4", "genre"), ("t5", "trending"),
    ]  # fmt: skip
    assert list_for(music, "folk", 1) == [("t9", "personal")]


def test_no_number_asked_for_is_no_row(url: str, music: "Cursor") -> None:
    publish_lists(url, {"folk": ["t9"]})
    assert list_for(music, "folk", 0) == []


def test_without_any_play_the_newest_items_are_recommended(cursor: "Cursor") -> None:
    cursor.execute(
        "INSERT INTO items (item_id, title, released_at) VALUES"
        " ('old', 'Old', '2020-01-01'), ('new', 'New', '2026-01-01'), ('undated', 'Undated', NULL)"
    )
    assert list_for(cursor, "anyone", 5) == [
        ("new", "popular"), ("old", "popular"), ("undated", "popular"),
    ]  # fmt: skip


def test_an_empty_database_recommends_nothing_and_does_not_fail(cursor: "Cursor") -> None:
    assert list_for(cursor, "anyone", 5) == []


def test_plays_of_2018_do_not_underflow(music: "Cursor") -> None:
    music.execute("UPDATE item_trends SET as_of = '2018-01-01', heat = heat - 11000")
    music.execute("UPDATE user_item_affinity SET first_at = '2018-01-01', last_at = '2018-01-01'")
    assert list_for(music, "folk", 2) == [("t4", "genre"), ("t6", "genre")]


def test_the_command_prints_run_freshness_and_reasons(url: str, music: "Cursor") -> None:
    run = publish_lists(url, {"folk": ["t9"]})
    environment = {"DATABASE_URL": url, "COLUMNS": "80"}  # of no terminal: nothing is cut
    text = encore("recommend", "folk", "-n", "2", env=environment)
    assert f"model run {run} (als), published " in text
    assert "because of Track 2" in text
    assert "because you like Folk" in text
    assert "The Artist" in text
    unknown = encore("recommend", "who?", "-n", "1", env=environment)
    assert "who? is unknown: this is what anyone is shown" in unknown
    assert "Track 1" in unknown


def test_the_command_prints_json(url: str, music: "Cursor") -> None:
    run = publish_lists(url, {"folk": ["t9"]})
    answer: dict[str, Any] = json.loads(
        encore("recommend", "folk", "-n", "1", "--json", env={"DATABASE_URL": url})
    )
    assert answer["known"] is True
    assert answer["model_run_id"] == run
    assert answer["recommendations"] == [
        {
            "rank": 1,
            "item_id": "t9",
            "title": "Track 9",
            "artist": "The Artist",
            "score": 0.99,
            "source": "personal",
            "reason": "because of Track 2",
        }
    ]
