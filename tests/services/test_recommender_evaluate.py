"""``encore evaluate`` on the domain's own data and on files, as a user types it."""

import json
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extras import execute_values

from database.migrate import upgrade
from tests.programs import encore, encore_outcome

MODELS = (
    "popular,trending,genres,knn-cosine,knn-bm25,knn-mean,ease,als-implicit,als-implicit-folded"
)


def heard(user: int, item: int, later: bool) -> bool:
    """Tell whether a listener hears an item: of their own half, a fifth of it on the last days."""
    own = (user % 2 == 0) == (item < 10)
    return own and ((user // 2 + item) % 5 == 0) is later


def fill(url: str) -> None:
    """Even listeners hear rock, odd ones jazz; each comes to a fifth of it on the last days."""
    pairs = [
        (f"u{user}", f"t{item:02}", 1.0, day, day)
        for user in range(24)
        for item in range(20)
        for later, day in ((False, f"2026-05-{1 + item % 10:02}"), (True, "2026-05-20"))
        if heard(user, item, later)
    ]
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO genres (genre) VALUES ('rock'), ('jazz')")
        cursor.execute(
            "INSERT INTO items (item_id, title)"
            " SELECT 't' || lpad(n::text, 2, '0'), 'Track ' || n FROM generate_series(0, 19) AS n"
        )
        cursor.execute(
            "INSERT INTO item_genres (item_id, genre, position)"
            " SELECT item_id, CASE WHEN item_id < 't10' THEN 'rock' ELSE 'jazz' END, 1 FROM items"
        )
        execute_values(
            cursor,
            "INSERT INTO user_item_affinity (user_id, item_id, signal, first_at, last_at)"
            " VALUES %s",
            pairs,
        )
        cursor.execute(
            "INSERT INTO users (user_id, country)"
            " SELECT 'u' || n, CASE WHEN n % 2 = 0 THEN 'BR' ELSE 'SE' END"
            " FROM generate_series(0, 22) AS n"
        )


@pytest.mark.services
def test_the_models_are_compared_on_the_domains_data(database_url: str, tmp_path: Path) -> None:
    upgrade(database_url)
    fill(database_url)
    out, picture = tmp_path / "out.json", tmp_path / "out.svg"
    said = encore(
        "evaluate", f"--models={MODELS}", f"--json={out}", f"--picture={picture}", "--rank=4",
        env={"DATABASE_URL": database_url, "TRAIN_TEST_SHARE": "0.2"},
    )  # fmt: skip
    assert "24 listeners, 20 items, 192 pairs to learn from; 24 listeners tested on 48" in said
    rows = {row["model"]: row for row in json.loads(out.read_text())}
    assert sorted(rows) == sorted(MODELS.split(","))
    # Two tracks of the listener's own genre are left, and nothing else tells the listeners apart.
    for name in ("genres", "knn-cosine", "knn-bm25", "als-implicit", "als-implicit-folded"):
        assert rows[name]["recall@10"] == 1.0, name
        assert rows[name]["ndcg@10"] > rows["popular"]["ndcg@10"] + 0.3, name
    assert picture.stat().st_size > 5_000


@pytest.mark.services
def test_listeners_are_left_out_and_told_apart_by_country(
    database_url: str, tmp_path: Path
) -> None:
    upgrade(database_url)
    fill(database_url)
    out = tmp_path / "out.json"
    said = encore(
        "evaluate", "--models=popular,als-implicit", "--rank=4", "--left-out=0.25",
        "--by=country", f"--json={out}",
        env={"DATABASE_URL": database_url, "TRAIN_TEST_SHARE": "0.2"},
    )  # fmt: skip
    popular, als = json.loads(out.read_text())
    assert {name: one["users"] for name, one in als["countries"].items()} == {
        "BR": 12, "SE": 11, "unknown": 1,
    }  # fmt: skip
    assert als["left_out"]["users"] == 6
    assert als["left_out"]["ratio"] >= 0.97
    assert "left_out" not in popular
    assert "als-implicit: Recall@20 of 6 listeners 1.0000 trained with" in said
    assert "unknown" in said


@pytest.mark.services
def test_as_of_a_time_nothing_later_is_known(database_url: str) -> None:
    upgrade(database_url)
    fill(database_url)
    env = {"DATABASE_URL": database_url, "TRAIN_TEST_SHARE": "0.2"}
    said = encore("evaluate", "--models=popular", "--as-of=2026-05-10", env=env)
    # The 48 pairs of 20 May are not read. Of the other 192 those of 9 May (two tracks, 10 listeners
    # each) and 10 May (two tracks, 9 listeners each) are tested on.
    assert "24 listeners, 20 items, 154 pairs to learn from; 24 listeners tested on 38" in said


@pytest.mark.services
def test_without_anything_positive_there_is_one_line_and_no_stack(database_url: str) -> None:
    upgrade(database_url)
    done = encore_outcome("evaluate", env={"DATABASE_URL": database_url})
    assert done.returncode != 0
    assert "user_item_affinity holds nothing positive yet" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_published_split_is_evaluated_without_a_database(tmp_path: Path) -> None:
    for name, later in (("train", False), ("test", True)):
        lines = [
            " ".join([str(user), *(str(item) for item in range(20) if heard(user, item, later))])
            for user in range(24)
        ]
        (tmp_path / name).write_text("\n".join(lines))
    out = tmp_path / "out.json"
    encore(
        "evaluate", "--split-files", str(tmp_path / "train"), str(tmp_path / "test"),
        "--models=popular,ease", f"--json={out}", env={},
    )  # fmt: skip
    rows = {row["model"]: row for row in json.loads(out.read_text())}
    assert rows["ease"]["recall@20"] == 1.0
    assert rows["ease"]["ndcg@20"] > rows["popular"]["ndcg@20"] + 0.3


def events_file(folder: Path) -> Path:
    """Write what :func:`heard` says as events: five hours of the past, one of the future."""
    rows = [
        f"u{user},t{item},{3600 * (5 if later else item % 5)}"
        for later in (False, True)
        for user in range(24)
        for item in range(20)
        if heard(user, item, later)
    ]
    path = folder / "events.csv"
    path.write_text("\n".join(["who,what,at", *rows]) + "\n")
    return path


def test_a_file_of_events_is_evaluated_with_the_genres_of_its_items(tmp_path: Path) -> None:
    kinds = [f"t{item},{'rock' if item < 10 else 'jazz'}" for item in range(20)]
    (tmp_path / "items.csv").write_text("\n".join(["what,kinds", *kinds]) + "\n")
    out = tmp_path / "out.json"
    said = encore(
        "evaluate", f"--data={events_file(tmp_path)}", "--user=who", "--item=what", "--time=at",
        f"--items={tmp_path / 'items.csv'}", "--genres=kinds", "--models=popular,genres",
        "--half-life=0.1", "--by=activity", f"--json={out}", env={"TRAIN_TEST_SHARE": "0.2"},
    )  # fmt: skip
    assert "192 pairs to learn from; 24 listeners tested on 48 pairs" in said
    assert "activity" in said
    rows = {row["model"]: row for row in json.loads(out.read_text())}
    assert rows["genres"]["recall@10"] == 1.0
    assert rows["genres"]["ndcg@10"] > rows["popular"]["ndcg@10"] + 0.3


def test_options_that_cannot_be_met_are_one_line(tmp_path: Path) -> None:
    told = encore_outcome("evaluate", "--models=ease", "--left-out=0.2", env={})
    assert told.stderr == "error: --left-out needs one of --models als-implicit, als-mllib\n"
    data = ("--data", str(events_file(tmp_path)), "--user=who", "--item=what", "--time=at")
    told = encore_outcome(
        "evaluate", *data, "--by=country", "--models=popular", env={"TRAIN_TEST_SHARE": "0.2"}
    )
    assert told.stderr == "error: --by country: only the domain's own data have countries\n"


def test_parameters_are_searched_and_told_as_settings(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    said = encore(
        "tune", f"--data={events_file(tmp_path)}", "--user=who", "--item=what", "--time=at",
        "--trials=3", "--for=10m", f"--json={out}", env={"TRAIN_TEST_SHARE": "0.2"},
    )  # fmt: skip
    found = json.loads(out.read_text())
    assert len(found["trials"]) == 3
    assert found["best"]["value"] == max(one["value"] for one in found["trials"])
    assert said.splitlines()[-4:] == found["settings"]
    assert found["unseen"].keys() == {"default", "tuned"}
    assert "tested at the end: 24 listeners, 20 items, 192 pairs to learn from" in said
