"""The domain's own data as interactions: the pairs of the feature tables, split by time.

The definitions are those of training (see :mod:`recommender.dataset` and
:mod:`recommender.split`): what is known, what is positive, what a pair weighs before the split.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from psycopg2 import sql

from encore.errors import EncoreError
from encore.settings import Settings
from recommender.arrow_copy import copy_out
from recommender.dataset import DISLIKED, Summary, open_snapshot, summarize
from recommender.interactions import Numbers, Split, cells, split_of

_PAIRS = pa.schema(
    [
        ("user", pa.string()),
        ("item", pa.string()),
        ("signal", pa.float64()),
        ("disliked", pa.bool_()),
        ("first_s", pa.float64()),
        ("last_s", pa.float64()),
    ]
)
_GENRES = pa.schema([("item", pa.string()), ("genre", pa.string())])
_READ_PAIRS = sql.SQL(
    "SELECT a.user_id, a.item_id, a.signal, {}, extract(epoch FROM a.first_at)::float8, "
    "extract(epoch FROM a.last_at)::float8 FROM user_item_affinity AS a "
    'ORDER BY a.user_id COLLATE "C", a.item_id COLLATE "C"'
).format(DISLIKED)


def read_domain(url: str, settings: Settings) -> Split:
    """Read what listeners gave items, in one snapshot; the newest share of it is tested on.

    Raises:
        EncoreError: there is too little to divide.
    """
    with open_snapshot(url) as snapshot:
        summary = summarize(
            snapshot.cursor, settings.train_test_share, settings.feature_affinity_half_life_days
        )
        pairs = _table(copy_out(snapshot.cursor, _READ_PAIRS, _PAIRS), _PAIRS)
        genres = _table(
            copy_out(snapshot.cursor, sql.SQL("SELECT item_id, genre FROM item_genres"), _GENRES),
            _GENRES,
        )
    if not summary.positive:
        raise EncoreError("user_item_affinity holds nothing positive yet: produce and stream first")
    return divide(pairs, genres, summary)


def divide(pairs: pa.Table, genres: pa.Table, summary: Summary) -> Split:
    """Divide pairs at the summary's moment; see :mod:`recommender.split` for what they weigh."""
    first, last, signal = (_numbers(pairs, name) for name in ("first_s", "last_s", "signal"))
    disliked = pairs.column("disliked").to_numpy(zero_copy_only=False)
    positive = (signal > 0) & ~disliked
    before = first <= summary.split_s
    full = signal * _decay(summary, last)
    one_play = _decay(summary, first)
    weight = np.where(last > summary.split_s, np.minimum(signal, one_play), full)
    users = pc.unique(pairs.column("user").combine_chunks()).sort()
    items = pc.unique(pairs.column("item").combine_chunks()).sort()
    return split_of(
        users,
        items,
        cells(pairs, users, items),
        known=before,
        weights=np.where(before & positive, weight, 0.0),
        times=last,
        relevant=~before & positive,
        genres=_genre_matrix(genres, items),
    )


def _decay(summary: Summary, since_s: Numbers) -> Numbers:
    age = np.maximum(summary.split_s - since_s, 0.0)
    return np.asarray(2.0 ** (-age / summary.half_life_s))


def _numbers(table: pa.Table, name: str) -> Numbers:
    return np.asarray(table.column(name).to_numpy(), np.float64)


def _genre_matrix(genres: pa.Table, items: pa.Array) -> sp.csr_matrix | None:
    row = pc.index_in(genres.column("item"), value_set=items)
    kept = genres.filter(pc.is_valid(row))
    if not kept.num_rows:
        return None
    coded = kept.column("genre").combine_chunks().dictionary_encode()
    rows = pc.drop_null(row).to_numpy().astype(np.int64)
    columns = coded.indices.to_numpy().astype(np.int64)
    ones = np.ones(len(rows), np.float32)
    return sp.csr_matrix((ones, (rows, columns)), (len(items), len(coded.dictionary)))


def _table(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(list(batches), schema)
