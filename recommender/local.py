"""Training on one machine: the data in memory, ALS by the package ``implicit``, no Spark."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray
from psycopg2 import sql
from threadpoolctl import threadpool_limits

from recommender.als import AlsParameters
from recommender.bundle import Bundle
from recommender.catalogue import Catalogue
from recommender.dataset import Snapshot, page_ranges, read_pages
from recommender.lists import list_rows
from recommender.models.factors import IMPLICIT
from recommender.publish import table_of, write_task
from recommender.quality import Tested
from recommender.topk import Als, Indexes


class LocalPart:
    """Pairs of one moment: ``weights`` (listeners, items), zero for those that are only known."""

    def __init__(self, weights: sp.csr_matrix, parameters: AlsParameters) -> None:
        """Take the positive pairs."""
        self._weights = weights
        self._parameters = parameters

    def fit(self) -> Als:
        """Factorise."""
        _, items = IMPLICIT.factorise(self._weights, self._parameters)
        return Als(items, self.listeners() > 0)

    def listeners(self) -> Indexes:
        """Return how many listeners each item has."""
        return np.bincount(self._weights.indices, minlength=self._weights.shape[1]).astype(np.int64)

    def co_listening(self) -> sp.csr_matrix:
        """Return the positive pairs of all listeners."""
        return self._weights


class LocalTrainer:
    """The whole of ``user_item_affinity`` as arrays, one for each column."""

    scaled = IMPLICIT.scaled

    def __init__(self, users: pa.Array, pairs: "Pairs", parameters: AlsParameters) -> None:
        """Take the ids of the listeners and the pairs."""
        self._users = users
        self._pairs = pairs
        self.present = LocalPart(pairs.positive(pairs.weight), parameters)
        self.past = LocalPart(pairs.positive(np.nan_to_num(pairs.past)), parameters)

    def tested(self, most: int) -> Tested:
        """Return listeners on both sides of the split."""
        pairs = self._pairs
        past, relevant = self.past.co_listening(), pairs.matrix(pairs.relevant)
        both = np.flatnonzero((np.diff(past.indptr) > 0) & (np.diff(relevant.indptr) > 0))
        some = np.sort(np.random.default_rng(0).permutation(both)[:most])
        known = pairs.matrix(~np.isnan(pairs.past))
        return Tested(past[some], _rows(known, some), relevant[some])

    def write(self, bundle: Bundle, url: str, top_n: int) -> int:
        """Make and write the lists in as many processes as there are cores."""
        known = self._pairs.matrix(np.ones(len(self._pairs.user), np.bool_))
        weights = self.present.co_listening()
        some = np.flatnonzero(np.diff(weights.indptr)).astype(np.int64)
        cores = os.cpu_count() or 1
        _Work.shared = _Work(bundle, url, self._users, weights, known, top_n)
        try:
            # Forked, so that the model and the data are there without being copied.
            with ProcessPoolExecutor(cores, multiprocessing.get_context("fork")) as pool:
                return sum(pool.map(_write_part, range(cores), np.array_split(some, cores)))
        finally:
            _Work.shared = None


class Pairs:
    """Pairs sorted by listener and item number."""

    def __init__(self, table: pa.Table, users: pa.Array, items: pa.Array) -> None:
        """Number the pairs of a table by ``READ_SCHEMA``."""
        user, item = (
            pc.index_in(table.column(name), value_set=ids).to_numpy()
            for name, ids in (("user_id", users), ("item_id", items))
        )
        self.shape = (len(users), len(items))
        order = _by_row_and_column(user, item, self.shape)
        self.user, self.item = user[order].astype(np.int32), item[order].astype(np.int32)
        weight, past, relevant = (
            table.column(name).to_numpy()[order] for name in ("weight", "past", "relevant")
        )
        self.weight, self.past = weight.astype(np.float32), past.astype(np.float32)
        self.relevant = relevant.astype(np.bool_)

    def positive(self, weight: NDArray[np.float32]) -> sp.csr_matrix:
        """Return the pairs that weigh something as a matrix (listeners, items)."""
        return self.matrix(weight > 0, weight)

    def matrix(
        self, kept: NDArray[np.bool_], values: NDArray[np.float32] | None = None
    ) -> sp.csr_matrix:
        """Return the pairs that are kept as a matrix (listeners, items), ones without values."""
        data = np.ones(int(kept.sum()), np.float32) if values is None else values[kept]
        rows = np.bincount(self.user[kept], minlength=self.shape[0])
        indptr = np.concatenate([[0], np.cumsum(rows)])
        return sp.csr_matrix((data, self.item[kept], indptr), self.shape)


def read(
    snapshot: Snapshot, columns: sql.Composed, catalogue: Catalogue, parameters: AlsParameters
) -> LocalTrainer:
    """Read all pairs of the snapshot, by as many connections as there are cores."""
    cores = os.cpu_count() or 1
    ranges = page_ranges(snapshot.cursor, cores)
    with ThreadPoolExecutor(cores) as pool:
        parts = pool.map(lambda pages: list(read_pages(snapshot.view, columns, pages)), ranges)
        table = pa.Table.from_batches([batch for part in parts for batch in part])
    users = pc.unique(table.column("user_id").combine_chunks()).sort()
    return LocalTrainer(
        users, Pairs(table, users, pa.array(catalogue.ids, pa.string())), parameters
    )


class _Work:
    """What the processes that make lists share with the one that forked them."""

    shared: "ClassVar[_Work | None]" = None

    def __init__(
        self,
        bundle: Bundle,
        url: str,
        users: pa.Array,
        weights: sp.csr_matrix,
        known: sp.csr_matrix,
        top_n: int,
    ) -> None:
        self.bundle, self.url, self.users = bundle, url, users
        self.weights, self.known, self.top_n = weights, known, top_n

    def rows(self, listeners: Indexes) -> Iterator[pa.RecordBatch]:
        """Yield the lists of listeners, block by block."""
        size = self.bundle.block_rows
        for start in range(0, len(listeners), size):
            some = listeners[start : start + size]
            ids = self.users.take(pa.array(some))
            known = _rows(self.known, some)
            yield list_rows(self.bundle, ids, self.weights[some], known, self.top_n)


def _write_part(part: int, listeners: Indexes) -> int:
    work = _Work.shared
    if work is None:
        raise RuntimeError("lists are made in a forked process only")
    table = table_of("recommendations", work.bundle.model_run_id)
    with threadpool_limits(1, "blas"):  # there is a process for each core
        return write_task(work.url, table, part, work.rows(listeners))


def _by_row_and_column(rows: Indexes, columns: Indexes, shape: tuple[int, int]) -> Indexes:
    """Return the order of cells, none of which is there twice: by row, then by column.

    SciPy counts where each row begins instead of comparing, which takes a fraction of a sort.
    """
    cells = sp.csr_matrix((np.arange(len(rows)), (rows, columns)), shape)
    cells.sort_indices()
    order: Indexes = cells.data
    return order


def _rows(matrix: sp.csr_matrix, rows: Indexes) -> list[Indexes]:
    part = matrix[rows]
    return np.split(part.indices.astype(np.int64), part.indptr[1:-1])
