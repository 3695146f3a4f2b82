"""What listeners gave items as of now, by the definitions of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from psycopg2 import extensions, sql

from recommender.arrow_copy import read_table
from recommender.pairs import weight_as_of
from recommender.topk import Indexes

_PAIRS: Final = pa.schema([("user", pa.string()), ("item", pa.string()), ("weight", pa.float64())])
_READ: Final = sql.SQL(
    "SELECT a.user_id, a.item_id, {weight} FROM user_item_affinity AS a "
    "WHERE a.user_id = ANY ({users}) WINDOW mine AS (PARTITION BY a.user_id) "
    'ORDER BY a.user_id COLLATE "C", a.item_id COLLATE "C"'
)


@dataclass(frozen=True, slots=True)
class Listeners:
    """Listeners, a row each, of whom something positive is known.

    ``weights`` (listeners, items) is above zero for positive pairs; ``known`` holds for each
    listener the items that are not recommended, the positive ones among them.
    """

    user_ids: Sequence[str]
    weights: sp.csr_matrix
    known: Sequence[Indexes]


def read_listeners(
    cursor: extensions.cursor,
    user_ids: Sequence[str],
    item_ids: pa.Array,
    as_of: datetime,
    half_life_s: float,
) -> Listeners:
    """Read what users gave a model's items, given in the model's order.

    A signal counts as of the model's newest event, or of the listener's own where that is newer.
    """
    newest = sql.SQL("greatest({}::timestamptz, least(max(a.last_at) OVER mine, now()))").format(
        sql.Literal(as_of)
    )
    query = _READ.format(
        weight=weight_as_of(newest, half_life_s),
        users=sql.Literal(list(user_ids)),
    )
    pairs = read_table(cursor, query, _PAIRS)
    number = pc.index_in(pairs.column("item"), value_set=item_ids)
    pairs = pairs.append_column("number", number).filter(pc.is_valid(number))
    users = pairs.column("user").combine_chunks().dictionary_encode()
    items = pairs.column("number").to_numpy().astype(np.int64)
    weights = pairs.column("weight").to_numpy().astype(np.float32)
    rows = users.indices.to_numpy().astype(np.int64)
    positive = weights > 0
    count = len(users.dictionary)
    matrix = sp.csr_matrix(
        (weights[positive], (rows[positive], items[positive])), (count, len(item_ids))
    )
    some = np.flatnonzero(np.diff(matrix.indptr))
    known = _split(items, np.bincount(rows, minlength=count))
    names = users.dictionary.to_pylist()
    return Listeners([names[row] for row in some], matrix[some], [known[row] for row in some])


def _split(values: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any]) -> list[Indexes]:
    return np.split(values, np.cumsum(sizes)[:-1]) if len(sizes) else []
