"""Interactions from files: events of any service as CSV or Parquet, and published splits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from encore.errors import UsageError
from recommender.interactions import Numbers, Split, cells, names, split_of


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are what. ``at_least`` keeps rows with such a weight or more."""

    user: str = "user"
    item: str = "item"
    time: str = "time"
    weight: str | None = None
    at_least: float | None = None


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


def read_events(path: Path, columns: Columns, test_share: float) -> Split:
    """Read a CSV or Parquet file of events and split it: the newest ``test_share`` is tested on.

    Times are numbers (seconds since 1970) or timestamps. A pair weighs how often it happened.
    Rows below ``columns.at_least`` make a pair known and nothing more.

    Raises:
        UsageError: the file cannot be read, lacks a column, or cannot be divided.
    """
    table = _read_table(path, columns)
    times = _seconds(table.column("time"), columns.time)
    positive = table.column("positive").to_numpy(zero_copy_only=False)
    moment = float(np.quantile(times[positive], 1 - test_share, method="lower"))
    before = times <= moment
    if not (~before & positive).any():
        raise UsageError(
            f"{path}: no row with a later {columns.time} than {moment:.0f}, where it would be "
            "divided; all that is newest happened at once"
        )
    users, items = names(table.column("user")), names(table.column("item"))
    return split_of(
        users,
        items,
        cells(table, users, items),
        known=before,
        weights=(before & positive).astype(np.float64),
        relevant=~before & positive,
        times=times,
    )


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


def _read_table(path: Path, columns: Columns) -> pa.Table:
    wanted = [one for one in (columns.user, columns.item, columns.time, columns.weight) if one]
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else pacsv.read_csv(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{path} cannot be read as CSV or Parquet: {error}") from None
    missing = [one for one in wanted if one not in table.column_names]
    if missing:
        raise UsageError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(table.column_names)}. "
            "--user, --item, --time and --weight say which is which."
        )
    positive: Any = pa.array(np.ones(table.num_rows, bool))
    if columns.weight and columns.at_least is not None:
        positive = pc.greater_equal(table.column(columns.weight), columns.at_least)
    return pa.table(
        {
            "user": table.column(columns.user).cast(pa.string()),
            "item": table.column(columns.item).cast(pa.string()),
            "time": table.column(columns.time),
            "positive": pc.fill_null(positive, False),
        }
    )


def _seconds(times: pa.ChunkedArray, name: str) -> Numbers:
    if pa.types.is_timestamp(times.type):
        times = times.cast(pa.timestamp("us")).cast(pa.int64())
        return np.asarray(times.to_numpy(), np.float64) / 1e6
    try:
        return np.asarray(times.cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowInvalid as error:
        raise UsageError(f"column {name!r} holds no times: {error}") from None
