"""Lists as rows of the table ``recommendations``, by whichever engine the model was trained."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from pyspark import Broadcast
from pyspark.sql import DataFrame

from recommender.arrow_lists import index_lists, number_lists
from recommender.bundle import EXPLORE, PERSONAL, Bundle
from recommender.reasons import reasons
from recommender.topk import Indexes

LIST_SCHEMA: Final = (
    "model_run_id bigint, user_id string, rank smallint, item_id string, score double, "
    "source string, reason string"
)


def personal_lists(users: DataFrame, shared: Broadcast[Bundle], top_n: int) -> DataFrame:
    """Return the lists by ``LIST_SCHEMA`` of users given by user_id, known and weights.

    A list holds fewer than ``top_n`` items where the user knows nearly all of them.
    """

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        bundle = shared.value
        for batch in batches:
            for start in range(0, batch.num_rows, bundle.block_rows):
                block = batch.slice(start, bundle.block_rows)
                known = index_lists(block, "known")
                weights = weights_of(known, number_lists(block, "weights"), len(bundle.trained))
                yield list_rows(bundle, block.column("user_id"), weights, known, top_n)

    return users.select("user_id", "known", "weights").mapInArrow(rows, LIST_SCHEMA)


def weights_of(
    known: Sequence[Indexes], weights: Sequence[np.ndarray], items: int
) -> sp.csr_matrix:
    """Return the pairs that weigh something as a matrix (listeners, items)."""
    lengths = np.array([len(one) for one in known], np.int64)
    matrix = sp.csr_matrix(
        (
            _joined(weights).astype(np.float32),
            _joined(known),
            np.concatenate([[0], np.cumsum(lengths)]),
        ),
        (len(known), items),
    )
    matrix.eliminate_zeros()
    return matrix


def list_rows(
    bundle: Bundle,
    user_ids: pa.Array,
    weights: sp.csr_matrix,
    known: Sequence[Indexes],
    top_n: int,
) -> pa.RecordBatch:
    """Return the lists of listeners given by what they have and know."""
    names = user_ids.to_pylist()
    found = bundle.lists(names, weights, known, top_n)
    there = found.items >= 0
    ids = pa.array(bundle.catalogue.ids, pa.string())
    lengths = there.sum(axis=1)
    explored = found.explored[there]
    said = reasons(bundle.catalogue.titles, found.because[there], explored)
    ranks = np.concatenate([np.arange(1, length + 1) for length in lengths] or [lengths])
    total = int(lengths.sum())
    return pa.RecordBatch.from_pydict(
        {
            "model_run_id": pa.repeat(pa.scalar(bundle.model_run_id, pa.int64()), total),
            "user_id": pa.array(names, pa.string()).take(np.repeat(np.arange(len(names)), lengths)),
            "rank": pa.array(ranks, pa.int16()),
            "item_id": ids.take(pa.array(found.items[there])),
            "score": pa.array(found.scores[there], pa.float64()),
            "source": pa.array(np.where(explored, EXPLORE, PERSONAL), pa.string()),
            "reason": pa.array(said, pa.string()),
        }
    )


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if len(parts) else np.empty(0, np.int64)
