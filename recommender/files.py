"""Interactions from files: events of any service as CSV or Parquet, and published splits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from encore.errors import UsageError
from recommender.interactions import (
    DAY_S,
    Numbers,
    Split,
    cells,
    genre_matrix,
    names,
    split_of,
)


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are what. ``at_least`` keeps rows with such a weight or more."""

    user: str = "user"
    item: str = "item"
    time: str = "time"
    weight: str | None = None
    at_least: float | None = None


@dataclass(frozen=True)
class Events:
    """Events as ``user``, ``item``, ``time`` (s since 1970) and whether they are ``positive``.

    The newest ``test_share`` of what is positive is tested on. ``genres`` has an ``item`` and a
    ``genre`` in each row, or is None.
    """

    origin: str
    table: pa.Table
    test_share: float
    genres: pa.Table | None = None

    @property
    def moment(self) -> float:
        """Return when the events are divided."""
        times = self._column("time")[self._column("positive")]
        return float(np.quantile(times, 1 - self.test_share, method="lower"))

    def as_of(self, moment: float) -> "Events":
        """Return the events until then.

        Raises:
            UsageError: none of them is positive.
        """
        kept = self.table.filter(pc.less_equal(self.table.column("time"), moment))
        if not pc.any(kept.column("positive")).as_py():
            raise UsageError(f"{self.origin}: nothing positive happened until {moment:.0f}")
        return replace(self, table=kept)

    def before(self) -> "Events":
        """Return what is learned from, to be divided in its turn."""
        return self.as_of(self.moment)

    def split(self, half_life_days: float | None = None) -> Split:
        """Divide. A pair weighs how often it happened, with a half-life less the longer ago.

        Raises:
            UsageError: there is nothing later than the moment.
        """
        times, positive, moment = self._column("time"), self._column("positive"), self.moment
        before = times <= moment
        if not (~before & positive).any():
            raise UsageError(
                f"{self.origin}: nothing is later than {moment:.0f}, where it would be divided; "
                "all that is newest happened at once"
            )
        weights = (before & positive).astype(np.float64)
        if half_life_days is not None:
            weights *= 2.0 ** (-np.maximum(moment - times, 0.0) / (half_life_days * DAY_S))
        users, items = names(self.table.column("user")), names(self.table.column("item"))
        return split_of(
            users,
            items,
            cells(self.table, users, items),
            known=before,
            weights=weights,
            relevant=~before & positive,
            times=times,
            genres=None if self.genres is None else genre_matrix(self.genres, items),
        )

    def _column(self, name: str) -> Any:
        return self.table.column(name).to_numpy()


@dataclass(frozen=True)
class Published:
    """A split that others made, without times."""

    whole: Split
    test_share: float
    seed: int

    def before(self) -> "Published":
        """Return what is learned from, divided by lot: ``test_share`` of its pairs tested on."""
        train = self.whole.train
        pairs = train.weights.tocoo()
        drawn = np.random.default_rng(self.seed).random(pairs.nnz) < self.test_share
        inner = split_of(
            train.users,
            train.items,
            (pairs.row.astype(np.int64), pairs.col.astype(np.int64)),
            known=~drawn,
            weights=np.where(drawn, 0.0, pairs.data),
            relevant=drawn,
        )
        return replace(self, whole=inner)

    def split(self, half_life_days: float | None = None) -> Split:
        """Return the split.

        Raises:
            UsageError: a half-life was asked for.
        """
        if half_life_days is not None:
            raise UsageError("a published split has no times: it takes no half-life")
        return self.whole


def read_split(train: Path, test: Path) -> Split:
    """Read a published split: a line a user, ``user item item …``, or a line a pair.

    Raises:
        UsageError: a file is not of that form.
    """
    learned, tested = _read_lists(train), _read_lists(test)
    table = pa.concat_tables([learned, tested])
    users, items = names(table.column("user")), names(table.column("item"))
    past = np.arange(table.num_rows) < learned.num_rows
    split = split_of(
        users,
        items,
        cells(table, users, items),
        known=past,
        weights=past.astype(np.float64),
        relevant=~past,
    )
    split.train.weights.data[:] = 1  # a pair that is listed twice is still one
    return split


def read_events(
    path: Path, columns: Columns, test_share: float, genres: pa.Table | None = None
) -> Events:
    """Read a CSV or Parquet file of events.

    Times are numbers (seconds since 1970) or timestamps. Rows below ``columns.at_least`` make a
    pair known and nothing more.

    Raises:
        UsageError: the file cannot be read, lacks a column, or has nothing positive.
    """
    table = _read_table(path, _wanted(columns), "--user, --item, --time and --weight")
    positive: Any = pa.array(np.ones(table.num_rows, bool))
    if columns.weight and columns.at_least is not None:
        positive = pc.greater_equal(table.column(columns.weight), columns.at_least)
    events = pa.table(
        {
            "user": table.column(columns.user).cast(pa.string()),
            "item": table.column(columns.item).cast(pa.string()),
            "time": _seconds(table.column(columns.time), columns.time),
            "positive": pc.fill_null(positive, False),
        }
    )
    return Events(str(path), events, test_share, genres).as_of(np.inf)


def read_genres(path: Path, item: str, genres: str) -> pa.Table:
    """Read the genres of items, ``a|b`` in a column: an ``item`` and a ``genre`` in each row.

    Raises:
        UsageError: the file cannot be read or lacks a column.
    """
    table = _read_table(path, [item, genres], "--item and --genres")
    lists = pc.split_pattern(pc.fill_null(table.column(genres).cast(pa.string()), ""), "|")
    lists = lists.combine_chunks()
    rows = pc.list_parent_indices(lists)
    found = pa.table(
        {
            "item": table.column(item).cast(pa.string()).take(rows),
            "genre": pc.list_flatten(lists),
        }
    )
    return found.filter(pc.not_equal(found.column("genre"), ""))


def _read_lists(path: Path) -> pa.Table:
    users: list[str] = []
    items: list[str] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                user, *rest = line.split() or [""]
                users += [user] * len(rest)
                items += rest
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read as a split ({error}): a line a user, `user item item …`, or "
            "a line a pair."
        ) from None
    if not users:
        raise UsageError(f"{path} holds no pair of user and item")
    return pa.table({"user": users, "item": items})


def _wanted(columns: Columns) -> list[str]:
    return [one for one in (columns.user, columns.item, columns.time, columns.weight) if one]


def _read_table(path: Path, wanted: Sequence[str], options: str) -> pa.Table:
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else pacsv.read_csv(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{path} cannot be read as CSV or Parquet: {error}") from None
    missing = [one for one in wanted if one not in table.column_names]
    if missing:
        raise UsageError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(table.column_names)}. "
            f"{options} say which is which."
        )
    return table


def _seconds(times: pa.ChunkedArray, name: str) -> Numbers:
    if pa.types.is_timestamp(times.type):
        times = times.cast(pa.timestamp("us")).cast(pa.int64())
        return np.asarray(times.to_numpy(), np.float64) / 1e6
    try:
        return np.asarray(times.cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowInvalid as error:
        raise UsageError(f"column {name!r} holds no times: {error}") from None
