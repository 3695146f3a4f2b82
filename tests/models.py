"""Small models and catalogues for tests."""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp

from recommender.artifact import Artifact
from recommender.attributes import Attribute
from recommender.blend import Signals
from recommender.bundle import Bundle
from recommender.catalogue import Catalogue
from recommender.content import Content
from recommender.foldin import HalfStep
from recommender.rules import Rules
from recommender.topk import Als


def plain_catalogue(
    ids: Sequence[str],
    *,
    artists: Sequence[str] | None = None,
    genres: Sequence[str] | None = None,
) -> Catalogue:
    """Return items named ``Title <id>``, each of its own artist unless told."""
    artists = artists or [f"artist of {one}" for one in ids]
    genres = genres or ["Pop"] * len(ids)
    return Catalogue(
        ids=list(ids),
        titles=[f"Title {one}" for one in ids],
        artists=np.array([sorted(set(artists)).index(one) for one in artists], np.int32),
        genres=np.array([sorted(set(genres)).index(one) for one in genres], np.int32),
        attributes=(
            Attribute.of("genre", [[one] for one in genres]),
            Attribute.of("artist", [[one] for one in artists]),
        ),
        released_s=np.full(len(ids), np.nan),
    )


def bundle(
    factors: Sequence[Sequence[float]],
    *,
    catalogue: Catalogue | None = None,
    listeners: Sequence[int] | None = None,
    neighbours: sp.csr_matrix | None = None,
    blend: Mapping[str, float] | None = None,
    rules: Rules | None = None,
    untrained: Sequence[int] = (),
) -> Bundle:
    """Return a model of the given item factors, alpha 10 and regularisation 0.1."""
    matrix = np.array(factors, np.float32)
    count = len(matrix)
    trained = np.ones(count, np.bool_)
    trained[list(untrained)] = False
    known = catalogue or plain_catalogue([f"t{item}" for item in range(count)])
    heard = np.array([10] * count if listeners is None else listeners, np.int64)
    signals = Signals(
        sp.csr_matrix((count, count), dtype=np.float32) if neighbours is None else neighbours,
        known.attributes,
        {"popularity": np.log1p(heard).astype(np.float32), "trend": np.ones(count, np.float32)},
    )
    half_step = HalfStep.of(matrix, alpha=10.0, regularization=0.1, scaled=True, trained=trained)
    return Bundle(
        known, half_step, trained, heard, signals, blend or {}, rules or Rules(), model_run_id=7
    )


def model_of(
    factors: Mapping[str, Sequence[float]], *, alpha: float, regularization: float, now_s: float
) -> Artifact:
    """Return a model of the given item factors as ``encore train`` leaves it."""
    matrix = np.array(list(factors.values()), np.float32)
    count, rank = matrix.shape
    return Artifact(
        item_ids=list(factors),
        als=Als(matrix, np.ones(count, np.bool_)),
        listeners=np.full(count, 10, np.int64),
        trend=np.ones(count, np.float32),
        neighbours=sp.csr_matrix((count, count), dtype=np.float32),
        content=Content([], np.zeros((0, rank), np.float32), np.zeros(rank, np.float32)),
        model={
            "alpha": alpha,
            "regularization": regularization,
            "scaled": True,
            "blend": {},
            "now_s": now_s,
        },
    )


def having(items: Sequence[Sequence[int]], count: int) -> sp.csr_matrix:
    """Return listeners who have those items, each with weight 1."""
    matrix = sp.lil_matrix((len(items), count), dtype=np.float32)
    for row, some in enumerate(items):
        matrix[row, list(some)] = 1.0
    return matrix.tocsr()
