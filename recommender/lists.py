"""Lists as rows of the table ``recommendations``, by whichever engine the model was trained."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from pyspark import Broadcast
from pyspark.sql import DataFrame

from recommender.arrow_lists import index_lists, number_lists
from recommender.bundle import Bundle
from recommender.entries import entries
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
    found = entries(bundle.catalogue, bundle.lists(names, weights, known, top_n))
    ranks = [np.arange(1, length + 1, dtype=np.int16) for length in found.lengths]
    total = len(found.item_ids)
    return pa.RecordBatch.from_pydict(
        {
            "model_run_id": pa.repeat(pa.scalar(bundle.model_run_id, pa.int64()), total),
            "user_id": user_ids.take(pa.array(np.repeat(np.arange(len(names)), found.lengths))),
            "rank": pa.array(_joined(ranks), pa.int16()),
            "item_id": found.item_ids,
            "score": pa.array(found.scores, pa.float64()),
            "source": found.sources,
            "reason": found.reasons,
        }
    )


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if len(parts) else np.empty(0, np.int64)
