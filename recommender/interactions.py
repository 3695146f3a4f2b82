"""Who gave what to which item, as sparse matrices whose rows and columns have names.

*Weight* is the confidence of a positive pair in complete plays: above zero, and decayed to the
moment that the data are as of. *Known* pairs are all that a listener ever touched, positive or
not: they are never recommended. Splits are by time only: what came before is learned from, what
came after is tested on.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

Indexes = NDArray[np.int64]
Numbers = NDArray[np.float64]

DAY_S = 86_400.0


@dataclass(frozen=True)
class Interactions:
    """What is learned from. ``weights`` and ``known`` are (users, items), CSR, rows sorted.

    ``newest`` is the time of each pair in ``weights`` in seconds since 1970, in the same order,
    or None where the data have no times. ``genres`` is (items, genres), or None. ``countries``
    names each user's country, null where it is not known, or is None.
    """

    users: pa.Array
    items: pa.Array
    weights: sp.csr_matrix
    known: sp.csr_matrix
    newest: Numbers | None = None
    genres: sp.csr_matrix | None = None
    countries: pa.Array | None = None

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


def names(column: pa.ChunkedArray) -> pa.Array:
    """Return the distinct values in order: position is number."""
    return pc.unique(column.combine_chunks()).sort()


def cells(table: pa.Table, users: pa.Array, items: pa.Array) -> tuple[Indexes, Indexes]:
    """Return the row and the column of each ``user`` and ``item`` of a table."""
    row = pc.index_in(table.column("user"), value_set=users).to_numpy()
    column = pc.index_in(table.column("item"), value_set=items).to_numpy()
    return row.astype(np.int64), column.astype(np.int64)


def genre_matrix(genres: pa.Table, items: pa.Array) -> sp.csr_matrix | None:
    """Return (items, genres) of rows of ``item`` and ``genre``; None where there are none."""
    row = pc.index_in(genres.column("item"), value_set=items)
    kept = genres.filter(pc.is_valid(row))
    if not kept.num_rows:
        return None
    coded = kept.column("genre").combine_chunks().dictionary_encode()
    rows = pc.drop_null(row).to_numpy().astype(np.int64)
    columns = coded.indices.to_numpy().astype(np.int64)
    ones = np.ones(len(rows), np.float32)
    return sp.csr_matrix((ones, (rows, columns)), (len(items), len(coded.dictionary)))


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
