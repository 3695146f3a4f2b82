"""Personal lists: the best items of the model for each user, with the reason for each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.sql import DataFrame

from recommender.arrow_lists import index_lists, matrix, number_lists
from recommender.dataset import Catalogue
from recommender.reasons import PERSONAL, contributors, unit_rows
from recommender.topk import Als, Floats, Indexes, recommend

SOURCE = "personal"
LIST_SCHEMA = (
    "model_run_id bigint, user_id string, rank smallint, item_id string, score double, "
    "source string, reason string"
)


@dataclass(frozen=True, slots=True)
class UserList:
    """One user's items and scores, best first, and for each the known item that speaks for it."""

    user_id: str
    items: Indexes
    scores: Floats
    because: Indexes


def personal_lists(
    users: DataFrame,
    model: Broadcast[Als],
    catalogue: Broadcast[Catalogue],
    *,
    model_run_id: int,
    top_n: int,
    alpha: float,
) -> DataFrame:
    """Return the lists by ``LIST_SCHEMA`` of users given by user_id, features, known, weights.

    A list holds fewer than ``top_n`` items where the user knows nearly all of them.
    """

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        unit = unit_rows(model.value.factors)
        ids = pa.array(catalogue.value.ids, pa.string())
        reasons = pa.array([PERSONAL.format(title=one) for one in catalogue.value.titles])
        for batch in batches:
            lists = list(_user_lists(model.value, unit, batch, top_n, alpha))
            yield _as_rows(lists, ids, reasons, model_run_id)

    return users.select("user_id", "features", "known", "weights").mapInArrow(rows, LIST_SCHEMA)


def _user_lists(
    model: Als, unit: Floats, batch: pa.RecordBatch, top_n: int, alpha: float
) -> Iterator[UserList]:
    known = index_lists(batch, "known")
    weights = number_lists(batch, "weights")
    lists = recommend(model, matrix(batch, "features"), known, top_n)
    for number, (items, scores) in enumerate(lists):
        because = _because(unit, items, known[number], weights[number], alpha)
        yield UserList(batch.column("user_id")[number].as_py(), items, scores, because)


def _because(
    unit: Floats, items: Indexes, known: Indexes, weights: NDArray[np.float64], alpha: float
) -> Indexes:
    liked = weights > 0
    return contributors(unit, items, known[liked], 1 + alpha * weights[liked])


def _as_rows(
    lists: list[UserList], ids: pa.Array, reasons: pa.Array, model_run_id: int
) -> pa.RecordBatch:
    lengths = [len(one.items) for one in lists]
    total = sum(lengths)
    users = np.repeat(np.arange(len(lists)), lengths)
    ranks = [np.arange(1, length + 1) for length in lengths]
    columns = {
        "model_run_id": pa.repeat(pa.scalar(model_run_id, pa.int64()), total),
        "user_id": pa.array([one.user_id for one in lists], pa.string()).take(users),
        "rank": pa.array(_joined(ranks), pa.int16()),
        "item_id": ids.take(_joined([one.items for one in lists])),
        "score": pa.array(_joined([one.scores for one in lists]), pa.float64()),
        "source": pa.repeat(pa.scalar(SOURCE), total),
        "reason": reasons.take(_joined([one.because for one in lists])),
    }
    return pa.RecordBatch.from_pydict(columns)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
