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
