"""Items that are like an item: by factors, by who listens to both, by artist and title, joined."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from recommender.attributes import Attribute
from recommender.bundle import Bundle
from recommender.topk import BLOCK_BYTES, Floats, Indexes, top_k, unit_rows

SOURCES = ("factors", "co-listening", "text")
_BEST = 40  # of each source
_FUSION = 60.0  # the constant of reciprocal rank fusion
_NONE = -1


def similar_rows(bundle: Bundle, n: int) -> Iterator[pa.RecordBatch]:
    """Yield rows of ``similar_items``: the n items most like each, best first."""
    ids = pa.array(bundle.catalogue.ids, pa.string())
    unit = unit_rows(bundle.half_step.factors)
    said = _text(bundle.catalogue.attributes)
    size = max(1, BLOCK_BYTES // (4 * max(len(ids), 1)))
    heard = np.flatnonzero(bundle.trained | (np.diff(said.indptr) > 0)).astype(np.int64)
    for start in range(0, len(heard), size):
        items = heard[start : start + size]
        parts = (
            _best(unit[items] @ unit.T, items),
            _best(bundle.signals.neighbours[items].toarray(), items),
            _best((said[items] @ said.T).toarray(), items),
        )
        yield _rows(bundle.model_run_id, ids, items, *_fused(parts, n))


def _fused(parts: Sequence[Indexes], n: int) -> tuple[Indexes, Floats, Indexes]:
    """Join ranked lists: items (rows, n), scores, and which list ranked each highest.

    The score is the sum over the lists of 1 / (60 + rank) (Cormack, Clarke and Buettcher,
    "Reciprocal Rank Fusion", SIGIR 2009), over the score of an item that leads them all.
    """
    items = np.concatenate(parts, axis=1)
    ranks = np.concatenate(
        [np.tile(np.arange(1, one.shape[1] + 1), (len(one), 1)) for one in parts], 1
    )
    source = np.concatenate([np.full(one.shape, at) for at, one in enumerate(parts)], axis=1)
    order = np.lexsort((ranks, items), axis=1)
    items, ranks, source = (np.take_along_axis(one, order, 1) for one in (items, ranks, source))
    gain = np.where(items == _NONE, 0.0, 1 / (_FUSION + ranks)).astype(np.float32)
    score = gain.copy()
    for step in range(1, len(parts)):  # an item is in each list once at most
        same = items[:, step:] == items[:, :-step]
        score[:, :-step] += np.where(same, gain[:, step:], 0)
    first = np.ones(items.shape, np.bool_)
    first[:, 1:] = items[:, 1:] != items[:, :-1]
    score = np.where(first & (items != _NONE), score * (_FUSION + 1) / len(parts), -np.inf)
    places, values = top_k(score, n)
    found = np.where(np.isfinite(values), np.take_along_axis(items, places, 1), _NONE)
    return found, values, np.take_along_axis(source, places, 1)


def _best(likeness: Floats, items: Indexes) -> Indexes:
    likeness = np.where(likeness > 0, likeness, -np.inf).astype(np.float32)
    likeness[np.arange(len(items)), items] = -np.inf
    places, values = top_k(likeness, _BEST)
    return np.where(np.isfinite(values), places, _NONE)


def _text(attributes: Sequence[Attribute]) -> sp.csr_matrix:
    """Return rows of length one of the rare things said of items: artists and words."""
    said = sp.hstack([one.weighted for one in attributes if one.name != "genre"]).tocsr()
    lengths = np.sqrt(np.asarray(said.power(2).sum(axis=1)).ravel())
    return sp.csr_matrix(sp.diags_array(1 / np.maximum(lengths, 1e-9)) @ said)


def _rows(
    run: int, ids: pa.Array, items: Indexes, found: Indexes, scores: Floats, source: Indexes
) -> pa.RecordBatch:
    there = found != _NONE
    lengths = there.sum(axis=1)
    ranks = np.concatenate([np.arange(1, one + 1) for one in lengths] or [lengths])
    return pa.RecordBatch.from_pydict(
        {
            "model_run_id": pa.repeat(pa.scalar(run, pa.int64()), int(lengths.sum())),
            "item_id": ids.take(pa.array(np.repeat(items, lengths))),
            "rank": pa.array(ranks, pa.int16()),
            "similar_item_id": ids.take(pa.array(found[there])),
            "score": pa.array(scores[there], pa.float64()),
            "source": pa.array(np.array(SOURCES)[source[there]], pa.string()),
        }
    )
