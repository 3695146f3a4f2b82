"""Models that score by a matrix of items by items: what a listener has, times how like it is.

Popularity and trend are of the same kind, with one row for everybody.
"""

import warnings
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import scipy.sparse as sp
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from implicit.utils import ParameterWarning
from scipy.linalg import lapack

from encore.errors import EncoreError
from recommender.interactions import Indexes, Interactions
from recommender.models.contract import best
from recommender.topk import Floats

# The Cholesky factorisation of the OpenBLAS in SciPy's wheels works at 33,000 rows and ends the
# process at 41,000 (a write behind its buffer).
_AT_ONCE = 30_000


class _ByWeights(ABC):
    """A listener of the training is to it what a stranger with the same weights is."""

    _train: Interactions

    def scores(self, users: Indexes) -> Floats:
        """Return the scores of the weights that each listener has."""
        return self.fold_in(self._train.weights[users])

    @abstractmethod
    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Return scores of listeners given by their weights (listeners, items)."""


class Popular(_ByWeights):
    """Score items by how many listeners have them, the same for everybody.

    With a half-life in days each counts less the older it is: what is trending.
    """

    def __init__(self, half_life_days: float | None = None) -> None:
        """Take the half-life; without one all times are alike."""
        self._half_life_days = half_life_days
        self._row: Floats = np.empty(0, np.float32)

    @property
    def name(self) -> str:
        """Name the model."""
        return "popular" if self._half_life_days is None else "trending"

    def fit(self, train: Interactions) -> None:
        """Count the listeners of each item."""
        ones = np.ones(train.weights.nnz)
        if self._half_life_days is not None:
            if train.newest is None:
                raise EncoreError("what is trending cannot be told: the data have no times")
            age_days = (train.newest.max() - train.newest) / 86_400
            ones = 2.0 ** (-age_days / self._half_life_days)
        counts = np.bincount(train.weights.indices, ones, train.weights.shape[1])
        self._train = train
        self._row = np.where(counts > 0, counts, -np.inf).astype(np.float32)

    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Return the counts once for each."""
        return np.tile(self._row, (weights.shape[0], 1))

    def similar(self, item: int, k: int) -> tuple[Indexes, Floats]:
        """Return the most popular: nothing is known of likeness."""
        return best(self._row, item, k)


class _ByItems(_ByWeights):
    """Scores are weights (listeners, items) times likeness (items, items)."""

    _likeness: Any

    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Return the sum of likeness to what each listener has."""
        product = self._input(weights) @ self._likeness
        scores = product.toarray() if sp.issparse(product) else product
        return np.asarray(scores, np.float32)

    def similar(self, item: int, k: int) -> tuple[Indexes, Floats]:
        """Return the most alike."""
        row = self._likeness[[item]]
        return best(row.toarray() if sp.issparse(row) else row, item, k)

    def _input(self, weights: sp.csr_matrix) -> sp.csr_matrix:
        return weights


class Neighbours(_ByItems):
    """Item k-nearest neighbours: cosine of co-listening, or of BM25-weighted co-listening.

    Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms" (ACM TOIS 22(1), 2004);
    BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009).
    """

    def __init__(self, weighting: str = "cosine", neighbours: int = 100) -> None:
        """Take ``cosine`` or ``bm25``, and how many neighbours an item keeps."""
        self._weighting = weighting
        self._neighbours = neighbours

    @property
    def name(self) -> str:
        """Name the model."""
        return f"knn-{self._weighting}"

    def fit(self, train: Interactions) -> None:
        """Find the neighbours of every item."""
        self._train = train
        self._likeness = nearest(train.weights, self._weighting, self._neighbours).T.tocsr()


class NeighbourMean(_ByItems):
    """Score an item by the mean weight that a listener gives its neighbours, by likeness.

    With s the cosine, N the neighbours of item i, w the listener's weights and m the mean weight
    of an item over all listeners: m_i + sum of s_ij (w_j - m_j) over N / sum of s_ij over N.
    Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms" (WWW 2001).
    Against the plain sum, an item is not the better for having many that are like it.
    """

    name = "knn-mean"

    def __init__(self, neighbours: int = 100) -> None:
        """Take how many neighbours an item keeps."""
        self._neighbours = neighbours

    def fit(self, train: Interactions) -> None:
        """Find the neighbours of every item and the mean of all weights."""
        self._train = train
        shares = neighbour_shares(train.weights, self._neighbours)
        mean = np.asarray(train.weights.mean(axis=0)).ravel()
        self._likeness = shares.T.tocsr().astype(np.float32)
        self._above = np.where(train.listeners > 0, mean - shares @ mean, -np.inf)

    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Return the mean of what each listener gives an item's neighbours."""
        return super().fold_in(weights) + self._above.astype(np.float32)


def neighbour_shares(weights: sp.csr_matrix, count: int) -> sp.csr_matrix:
    """Return the cosines of an item's neighbours in its row, over their sum; not its own."""
    found = nearest(weights, "cosine", count)
    found.setdiag(0)
    found.eliminate_zeros()
    total = np.asarray(found.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags_array(1 / np.maximum(total, 1e-12)) @ found)


def nearest(weights: sp.csr_matrix, weighting: str, count: int) -> sp.csr_matrix:
    """Return likeness (items, items): a row holds an item and the ``count`` most like it."""
    kinds = {"cosine": CosineRecommender, "bm25": BM25Recommender}
    found = kinds[weighting](K=count + 1)
    with warnings.catch_warnings():
        # It warns of the form that its own weighting left the matrix in.
        warnings.simplefilter("ignore", ParameterWarning)
        found.fit(weights, show_progress=False)
    return found.similarity.astype(np.float32).tocsr()


class Ease(_ByItems):
    """EASE^R: the linear model of items by items with a zero diagonal, in closed form.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019), with ``regularization``
    as its lambda. Memory is 4 bytes an item squared, time grows with the cube: only the
    ``most_items`` most popular items take part, the others are never recommended.
    """

    name = "ease"

    def __init__(self, regularization: float = 80.0, most_items: int = 20_000) -> None:
        """Take lambda and how many items may take part."""
        self._regularization = regularization
        self._most_items = most_items

    def fit(self, train: Interactions) -> None:
        """Invert the regularised matrix of co-listening."""
        self._train = train
        most = np.argsort(-train.listeners, kind="stable")[: self._most_items]
        self._items = np.sort(most[train.listeners[most] > 0])
        binary = train.weights.astype(bool).astype(np.float32).tocsc()[:, self._items]
        inverse = _inverse(binary, self._regularization)
        diagonal = inverse.diagonal().copy()
        inverse /= -diagonal
        np.fill_diagonal(inverse, 0.0)
        self._likeness = inverse

    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Return the scores of the items that take part."""
        scores = np.full(weights.shape, -np.inf, np.float32)
        scores[:, self._items] = super().fold_in(weights)
        return scores

    def similar(self, item: int, k: int) -> tuple[Indexes, Floats]:
        """Return the most alike; none for an item that takes no part."""
        row = np.full(self._train.weights.shape[1], -np.inf, np.float32)
        at = np.flatnonzero(self._items == item)
        if len(at):
            row[self._items] = self._likeness[at[0]]
        return best(row, item, k)

    def _input(self, weights: sp.csr_matrix) -> sp.csr_matrix:
        return weights.astype(bool).astype(np.float32)[:, self._items]


def _inverse(binary: sp.csc_matrix, regularization: float) -> Floats:
    """Return (X'X + lambda I)^-1."""
    gram = (binary.T @ binary).toarray()
    gram[np.diag_indices_from(gram)] += regularization
    try:
        invert(gram)
    except np.linalg.LinAlgError:
        raise EncoreError(
            f"EASE could not be solved with a regularization of {regularization:g}; raise it"
        ) from None
    return np.asarray(gram)


def invert(matrix: Floats, at_once: int = _AT_ONCE) -> None:
    """Invert a symmetric positive definite matrix in place, by halves where it is large.

    With A, B and C its upper left, upper right and lower right part, S = C - B'A^-1 B has the
    lower right part of the inverse as its own (the Schur complement).

    Raises:
        LinAlgError: it is not positive definite.
    """
    size = len(matrix)
    if size <= at_once:
        matrix[:] = _inverse_at_once(matrix)
        return
    half = size // 2
    first, both, second = matrix[:half, :half], matrix[:half, half:], matrix[half:, half:]
    invert(first, at_once)
    across = first @ both
    second -= both.T @ across
    invert(second, at_once)
    both[:] = across @ second
    first += both @ across.T
    both *= -1
    matrix[half:, :half] = both.T


def _inverse_at_once(matrix: Floats) -> Floats:
    factor, problem = lapack.spotrf(matrix, lower=0)
    if not problem:
        factor, problem = lapack.spotri(factor, lower=0, overwrite_c=1)
    if problem:
        raise np.linalg.LinAlgError
    for start in range(0, len(factor), 1024):  # LAPACK gives the upper half only
        end = min(start + 1024, len(factor))
        factor[end:, start:end] = factor[start:end, end:].T
        corner = np.triu(factor[start:end, start:end])
        factor[start:end, start:end] = corner + np.triu(corner, 1).T
    return np.asarray(factor)


class GenreAffinity(_ByWeights):
    """Score items by the genres that a listener has, and among equals by popularity.

    A listener's share of each genre, times the item's genres: what the fallback lists do.
    """

    name = "genres"

    def fit(self, train: Interactions) -> None:
        """Take the genres of the items.

        Raises:
            EncoreError: the data have no genres.
        """
        if train.genres is None:
            raise EncoreError("the data have no genres of items")
        self._train = train
        counts = train.listeners
        self._popular = np.where(counts > 0, np.log1p(counts), -np.inf).astype(np.float32)
        lengths = np.maximum(np.diff(train.genres.indptr), 1)
        self._genres = sp.csr_matrix(sp.diags_array(1 / lengths) @ train.genres)

    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Return affinity times popularity."""
        profile = (weights @ self._genres).toarray()
        profile /= np.maximum(profile.sum(axis=1, keepdims=True), 1e-12)
        affinity = np.asarray(self._genres @ profile.T, np.float32).T
        scores: Floats = affinity * np.where(np.isfinite(self._popular), self._popular, 0.0)
        scores[:, ~np.isfinite(self._popular)] = -np.inf
        return scores

    def similar(self, item: int, k: int) -> tuple[Indexes, Floats]:
        """Return the items that share most genres, popular ones first."""
        return best(self._like(item), item, k)

    def _like(self, item: int) -> Floats:
        shared = np.asarray((self._genres @ self._genres[[item]].T).todense(), np.float32).ravel()
        return np.where(np.isfinite(self._popular), shared * self._popular, -np.inf)
