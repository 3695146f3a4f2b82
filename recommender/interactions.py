"""Who gave what to which item, as sparse matrices whose rows and columns have names.

*Weight* is the confidence of a positive pair in complete plays: above zero, and decayed to the
moment that the data are as of. *Known* pairs are all that a listener ever touched, positive or
not: they are never recommended. Splits are by time only: what came before is learned from, what
came after is tested on.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray

from encore.errors import UsageError

Indexes = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Interactions:
    """What is learned from. ``weights`` and ``known`` are (users, items), CSR, rows sorted.

    ``newest`` is the time of each pair in ``weights`` in seconds since 1970, in the same order,
    or None where the data have no times. ``genres`` is (items, genres), or None.
    """

    users: pa.Array
    items: pa.Array
    weights: sp.csr_matrix
    known: sp.csr_matrix
    newest: Numbers | None = None
    genres: sp.csr_matrix | None = None

    @cached_property
    def listeners(self) -> Indexes:
        """Return how many listeners have each item with a weight: (items,)."""
        return np.asarray(np.diff(self.weights.tocsc().indptr), np.int64)


@dataclass(frozen=True)
class Split:
    """What is learned from, and what those listeners came to afterwards.

    ``tested`` are rows of ``train`` with something in ``relevant`` (users, items); ``cold`` is
    how many listeners were left out because nothing is known of them before.
    """

    train: Interactions
    relevant: sp.csr_matrix
    cold: int = 0

    @property
    def tested(self) -> Indexes:
        """Return the rows of the listeners that the models are tested on."""
        return np.flatnonzero(np.diff(self.relevant.indptr)).astype(np.int64)


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are what. ``at_least`` keeps rows with such a weight or more."""

    user: str = "user"
    item: str = "item"
    time: str = "time"
    weight: str | None = None
    at_least: float | None = None


def split_of(
    users: pa.Array,
    items: pa.Array,
    pairs: tuple[Indexes, Indexes],
    *,
    known: NDArray[np.bool_],
    weights: Numbers,
    relevant: NDArray[np.bool_],
    times: Numbers | None = None,
    genres: sp.csr_matrix | None = None,
) -> Split:
    """Make a split of pairs: rows and columns, in whatever order, a pair as often as it happened.

    ``weights`` (0: not learned from) of a pair add up; the newest of its ``times`` stays. A pair
    that is known is never relevant.
    """
    shape = (len(users), len(items))
    learned = weights > 0
    matrix = _matrix(pairs, weights, learned, shape)
    seen = _matrix(pairs, np.ones(len(weights)), known, shape).astype(bool)
    newest = None if times is None else _newest(pairs, times, learned, matrix)
    nobody = np.diff(matrix.indptr) == 0
    wanted = _matrix(pairs, np.ones(len(weights)), relevant, shape).astype(bool)
    wanted = _only(wanted, seen, ~nobody)
    cold = np.unique(pairs[0][relevant & nobody[pairs[0]]])
    return Split(Interactions(users, items, matrix, seen, newest, genres), wanted, len(cold))


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


def names(column: pa.ChunkedArray) -> pa.Array:
    """Return the distinct values in order: position is number."""
    return pc.unique(column.combine_chunks()).sort()


def cells(table: pa.Table, users: pa.Array, items: pa.Array) -> tuple[Indexes, Indexes]:
    """Return the row and the column of each ``user`` and ``item`` of a table."""
    row = pc.index_in(table.column("user"), value_set=users).to_numpy()
    column = pc.index_in(table.column("item"), value_set=items).to_numpy()
    return row.astype(np.int64), column.astype(np.int64)


def _matrix(
    pairs: tuple[Indexes, Indexes],
    values: Numbers,
    kept: NDArray[np.bool_],
    shape: tuple[int, int],
) -> sp.csr_matrix:
    row, column = pairs
    matrix = sp.csr_matrix((values[kept].astype(np.float32), (row[kept], column[kept])), shape)
    matrix.sort_indices()
    return matrix


def _newest(
    pairs: tuple[Indexes, Indexes], times: Numbers, kept: NDArray[np.bool_], matrix: sp.csr_matrix
) -> Numbers:
    """Return the time of the newest event of each pair, in the order of the matrix."""
    place = (pairs[0] * matrix.shape[1] + pairs[1])[kept]
    in_time = np.argsort(times[kept], kind="stable")
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    newest = np.empty(matrix.nnz)
    # Of several assignments to a place the last one stays, which is the newest.
    newest[np.searchsorted(rows * matrix.shape[1] + matrix.indices, place[in_time])] = times[kept][
        in_time
    ]
    return newest


def _only(wanted: sp.csr_matrix, seen: sp.csr_matrix, users: NDArray[np.bool_]) -> sp.csr_matrix:
    """Leave out what was seen before, and all of users who are not to be tested."""
    counts = wanted.astype(np.int8) - wanted.astype(np.int8).multiply(seen.astype(np.int8))
    kept = sp.csr_matrix(sp.diags_array(users.astype(np.float64)) @ counts)
    kept.eliminate_zeros()
    kept.sort_indices()
    return kept
