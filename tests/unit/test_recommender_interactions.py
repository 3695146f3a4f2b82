"""Interactions from files and from the domain's pairs, divided by time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from encore.errors import UsageError
from recommender.dataset import Summary
from recommender.domain import Domain
from recommender.files import Columns, Published, read_events, read_genres, read_split
from recommender.interactions import DAY_S, Split


def pairs(split: Split, what: str) -> dict[tuple[str, str], float]:
    matrix = {
        "weights": split.train.weights,
        "known": split.train.known,
        "relevant": split.relevant,
    }[what].tocoo()
    users, items = split.train.users.to_pylist(), split.train.items.to_pylist()
    return {
        (users[row], items[column]): float(value)
        for row, column, value in zip(matrix.row, matrix.col, matrix.data, strict=True)
    }


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("u1 a b\nu2 b c\nu9\n", "u1 c\nu2 a b\nu3 a\n"),
        ("u1 a\nu1 b\nu2 b\nu2 c\n", "u1 c\nu2 a\nu2 b\nu3 a\n"),
    ],
)
def test_a_published_split_is_read_line_by_line_or_pair_by_pair(
    train: str, test: str, tmp_path: Path
) -> None:
    (tmp_path / "train.txt").write_text(train)
    (tmp_path / "test.txt").write_text(test)
    split = read_split(tmp_path / "train.txt", tmp_path / "test.txt")
    assert pairs(split, "weights") == dict.fromkeys(
        [("u1", "a"), ("u1", "b"), ("u2", "b"), ("u2", "c")], 1.0
    )
    # u2 knows b already; of u3 nothing is known.
    assert set(pairs(split, "relevant")) == {("u1", "c"), ("u2", "a")}
    assert split.cold == 1
    assert [split.train.users[int(row)].as_py() for row in split.tested] == ["u1", "u2"]


def test_a_file_that_is_no_split_is_told(tmp_path: Path) -> None:
    (tmp_path / "nothing.txt").write_text("\n\n")
    with pytest.raises(UsageError, match=r"nothing.txt holds no pair"):
        read_split(tmp_path / "nothing.txt", tmp_path / "nothing.txt")
    with pytest.raises(UsageError, match="cannot be read as a split"):
        read_split(tmp_path / "absent.txt", tmp_path / "absent.txt")


EVENTS = pa.table(
    {
        "who": [1, 1, 1, 2, 2, 2, 3, 1, 2],
        "what": ["a", "a", "b", "b", "c", "a", "c", "c", "b"],
        "stars": [5.0, 4.0, 4.0, 5.0, 2.0, 4.0, 5.0, 5.0, 5.0],
        "at": [10, 20, 30, 40, 50, 60, 70, 80, 90],
    }
)
COLUMNS = Columns("who", "what", "at", "stars", at_least=4.0)


def events(path: Path, table: pa.Table = EVENTS) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pacsv.write_csv(table, path)
    return path


@pytest.mark.parametrize("name", ["events.csv", "events.parquet"])
def test_events_of_a_file_are_divided_at_a_moment(name: str, tmp_path: Path) -> None:
    split = read_events(events(tmp_path / name), COLUMNS, test_share=0.4).split()
    # Eight of the nine rows are liked; the moment is 60: what is at most that old is learned from.
    assert pairs(split, "weights") == {("1", "a"): 2, ("1", "b"): 1, ("2", "b"): 1, ("2", "a"): 1}
    assert set(pairs(split, "known")) == {*pairs(split, "weights"), ("2", "c")}
    assert set(pairs(split, "relevant")) == {("1", "c")}
    assert split.cold == 1  # listener 3
    assert split.train.newest is not None
    assert split.train.newest.tolist() == [20.0, 30.0, 60.0, 40.0]


def test_timestamps_are_times(tmp_path: Path) -> None:
    moments = pa.array([one * 1_000_000 for one in range(9)]).cast(pa.timestamp("us", "UTC"))
    table = EVENTS.set_column(3, "at", moments)
    split = read_events(events(tmp_path / "e.parquet", table), COLUMNS, test_share=0.4).split()
    assert split.train.newest is not None
    assert split.train.newest.max() == 5.0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns("user", "what", "at"), r"no column 'user'; it has who, what, stars, at\. --user"),
        (Columns("who", "what", "what"), "column 'what' holds no times"),
    ],
)
def test_a_column_that_is_not_there_or_no_time_is_told(
    columns: Columns, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        read_events(events(tmp_path / "events.csv"), columns, test_share=0.4).split()


def test_a_file_whose_events_all_happened_at_once_cannot_be_divided(tmp_path: Path) -> None:
    table = EVENTS.set_column(3, "at", pa.array([7] * 9))
    with pytest.raises(UsageError, match="happened at once"):
        read_events(events(tmp_path / "events.csv", table), COLUMNS, test_share=0.4).split()


def test_nothing_later_than_a_moment_is_read(tmp_path: Path) -> None:
    source = read_events(events(tmp_path / "events.csv"), COLUMNS, test_share=0.4)
    # Until 60 there are four liked rows beside one that is not; the moment is 30.
    split = source.as_of(60).split()
    assert pairs(split, "weights") == {("1", "a"): 2, ("1", "b"): 1}
    assert split.cold == 1
    assert "c" in split.train.items.to_pylist()
    assert "3" not in split.train.users.to_pylist()
    with pytest.raises(UsageError, match=r"events\.csv: nothing positive happened until 9"):
        source.as_of(9)


def test_what_is_before_the_split_knows_nothing_of_what_is_tested(tmp_path: Path) -> None:
    source = read_events(events(tmp_path / "events.csv"), COLUMNS, test_share=0.4)
    assert source.moment == 60
    assert source.before().table.equals(source.as_of(60).table)


def test_with_a_half_life_events_weigh_less_the_longer_ago_they_are(tmp_path: Path) -> None:
    source = read_events(events(tmp_path / "events.csv"), COLUMNS, test_share=0.4)
    split = source.split(half_life_days=20 / DAY_S)
    # The moment is 60: 40 s and 50 s ago, 30 s ago, 20 s ago, now.
    assert pairs(split, "weights") == {
        ("1", "a"): pytest.approx(2**-2.0 + 2**-2.5),
        ("1", "b"): pytest.approx(2**-1.5),
        ("2", "b"): 0.5,
        ("2", "a"): 1.0,
    }


def test_genres_of_items_come_from_a_file_of_their_own(tmp_path: Path) -> None:
    items = pa.table({"what": ["a", "b", "z", "c"], "kinds": ["rock|jazz", "jazz", "folk", None]})
    genres = read_genres(events(tmp_path / "items.csv", items), "what", "kinds")
    assert genres.to_pylist() == [
        {"item": "a", "genre": "rock"},
        {"item": "a", "genre": "jazz"},
        {"item": "b", "genre": "jazz"},
        {"item": "z", "genre": "folk"},
    ]
    split = read_events(events(tmp_path / "e.csv"), COLUMNS, 0.4, genres).split()
    assert split.train.genres is not None
    assert np.asarray(split.train.genres.sum(axis=1)).ravel().tolist() == [2, 1, 0]
    with pytest.raises(UsageError, match=r"no column 'item'; it has what, kinds\. --item and"):
        read_genres(tmp_path / "items.csv", "item", "kinds")


def test_a_published_split_is_divided_by_lot_for_it_has_no_times(tmp_path: Path) -> None:
    listed = [" ".join([f"u{user}", *(f"i{item}" for item in range(10))]) for user in range(50)]
    (tmp_path / "train").write_text("\n".join(listed))
    (tmp_path / "test").write_text("u0 j\n")
    whole = read_split(tmp_path / "train", tmp_path / "test")
    source = Published(whole, test_share=0.2, seed=1)
    inner = source.before().split()
    past, future = set(pairs(inner, "weights")), set(pairs(inner, "relevant"))
    assert past | future == set(pairs(whole, "weights"))
    assert not past & future
    assert 70 < len(future) < 130  # a fifth of 500, drawn one by one
    assert future == set(pairs(source.before().split(), "relevant"))
    assert future != set(pairs(replace(source, seed=2).before().split(), "relevant"))
    with pytest.raises(UsageError, match="has no times"):
        source.split(half_life_days=3)


SUMMARY = Summary(
    positive=4, users=2, items=4, data_from=None, data_to=None,
    now_s=20 * DAY_S, split_s=10 * DAY_S, half_life_s=10 * DAY_S,
)  # fmt: skip


def domain(rows: list[tuple[str, str, float, bool, int, int]]) -> Domain:
    """Return pairs as user, item, signal, disliked, first day, last day."""
    table = pa.table(
        {
            "user": [row[0] for row in rows],
            "item": [row[1] for row in rows],
            "signal": [row[2] for row in rows],
            "disliked": [row[3] for row in rows],
            "first_s": [row[4] * DAY_S for row in rows],
            "last_s": [row[5] * DAY_S for row in rows],
        }
    )
    genres = pa.table({"item": ["old", "later", "unheard"], "genre": ["rock", "jazz", "jazz"]})
    countries = pa.table({"user": ["u2", "u9", "u1"], "country": ["SE", "DE", "BR"]})
    return Domain(table, genres, countries, SUMMARY, test_share=0.5)


def test_of_a_pair_that_went_on_only_the_beginning_is_known_before() -> None:
    source = domain(
        [
            ("u1", "old", 4.0, False, 0, 0),
            ("u1", "went on", 9.0, False, 2, 15),
            ("u1", "liked a little", 0.5, False, 4, 12),
            ("u2", "old", 1.0, False, 6, 6),
            ("u2", "later", 1.0, False, 11, 12),
        ]
    ).as_of(10 * DAY_S)
    # Four had begun; the half of them that is older, until day 2, is learned from.
    assert source.summary.split_s == 2 * DAY_S
    assert source.pairs.column("signal").to_pylist() == [4.0, 1.0, 0.5, 1.0]
    assert [one / DAY_S for one in source.pairs.column("last_s").to_pylist()] == [0, 2, 4, 6]
    split = source.split()
    # At day 2 what was given at day 0 has lost a fifth of a half-life.
    assert pairs(split, "weights") == {
        ("u1", "old"): pytest.approx(4 * 2**-0.2),
        ("u1", "went on"): 1.0,
    }
    assert set(pairs(split, "relevant")) == {("u1", "liked a little")}
    assert split.cold == 1
    assert split.train.countries is not None
    assert split.train.countries.to_pylist() == ["BR", "SE"]
    shorter = source.split(half_life_days=1)
    assert pairs(shorter, "weights")["u1", "old"] == 1.0


def test_a_moment_before_everything_is_told() -> None:
    source = domain([("u1", "old", 4.0, False, 5, 5)])
    with pytest.raises(UsageError, match="nothing positive had begun until 1970-01-02"):
        source.as_of(DAY_S)


def test_pairs_of_the_domain_weigh_what_was_certain_at_the_split() -> None:
    rows = [
        # user, item, signal, disliked, first day, last day
        ("u1", "old", 4.0, False, 0, 0),  # decayed by one half-life: 2.0
        ("u1", "went on", 9.0, False, 10, 15),  # no more than one play at its first event: 1.0
        ("u1", "disliked", 3.0, True, 5, 5),
        ("u1", "skipped", 0.0, False, 5, 5),
        ("u1", "later", 1.0, False, 12, 12),
        ("u2", "later", 1.0, False, 11, 12),
    ]
    split = domain(rows).split()
    assert pairs(split, "weights") == {("u1", "old"): 2.0, ("u1", "went on"): 1.0}
    assert {item for _, item in pairs(split, "known")} == {"old", "went on", "disliked", "skipped"}
    assert set(pairs(split, "relevant")) == {("u1", "later")}
    assert split.cold == 1
    assert split.train.genres is not None
    assert np.asarray(split.train.genres.sum(axis=1)).ravel().tolist() == [0, 1, 1, 0, 0]
