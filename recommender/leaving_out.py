"""What a listener is worth to a model that never saw them: left out of training, then folded in."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from encore.errors import EncoreError, UsageError
from recommender.comparison import K, Left, Result, compare
from recommender.interactions import Indexes, Interactions, Split
from recommender.models.contract import Model
from recommender.topk import Floats

Maker = Callable[[], Model]
RECALL = f"recall@{K}"


@dataclass(frozen=True)
class LeftOut:
    """A model's Recall@20 of the same listeners, trained with and folded in."""

    model: str
    users: int
    trained: float
    folded: float

    @property
    def ratio(self) -> float:
        """Return how much of it folding in keeps."""
        return self.folded / self.trained if self.trained else 0.0

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name, fit for JSON."""
        return {
            "users": self.users,
            f"trained_{RECALL}": self.trained,
            f"folded_{RECALL}": self.folded,
            "ratio": self.ratio,
        }


class Stranger:
    """A model that some listeners are kept from when it is fitted, and folded into when asked."""

    def __init__(self, model: Model, users: Indexes) -> None:
        """Take the model, and the rows of the training that it is not to see."""
        self._model = model
        self._users = users

    @property
    def name(self) -> str:
        """Name the model."""
        return f"{self._model.name}-left-out"

    def fit(self, train: Interactions) -> None:
        """Fit the model to the pairs of all others."""
        self._train = train
        others = np.ones(train.weights.shape[0], np.float32)
        others[self._users] = 0
        seen = np.repeat(others > 0, np.diff(train.weights.indptr))
        weights = sp.csr_matrix(sp.diags_array(others) @ train.weights)
        weights.eliminate_zeros()
        newest = None if train.newest is None else train.newest[seen]
        self._model.fit(replace(train, weights=weights, newest=newest))

    def scores(self, users: Indexes) -> Floats:
        """Fold listeners in."""
        return self.fold_in(self._train.weights[users])

    def fold_in(self, weights: sp.csr_matrix) -> Floats:
        """Fold listeners in."""
        return self._model.fold_in(weights)

    def similar(self, item: int, k: int) -> tuple[Indexes, Floats]:
        """Return what the model says."""
        return self._model.similar(item, k)


def leave_out(split: Split, make: Maker, share: float, seed: int) -> LeftOut:
    """Draw a share of the tested listeners and compare what the model is worth to them.

    Raises:
        UsageError: the share is not between 0 and 1, or leaves nobody out.
        EncoreError: the model could not be trained.
    """
    if not 0 < share < 1:
        raise UsageError(f"--left-out {share:g} is no share: above 0 and below 1")
    count = round(share * len(split.tested))
    if not count:
        raise UsageError(
            f"--left-out {share:g} of {len(split.tested)} tested listeners is nobody; raise it"
        )
    users = np.sort(np.random.default_rng(seed).permutation(split.tested)[:count])
    kept = np.zeros(split.relevant.shape[0])
    kept[users] = 1
    relevant = sp.csr_matrix(sp.diags_array(kept) @ split.relevant)
    relevant.eliminate_zeros()
    model = make()

    def tell(found: Result | Left) -> None:
        if isinstance(found, Left):
            raise EncoreError(f"{found.model} could not be trained: {found.reason}")

    trained, folded = compare(
        replace(split, relevant=relevant), [model, Stranger(make(), users)], tell, seed
    )
    return LeftOut(model.name, count, trained.means[RECALL].value, folded.means[RECALL].value)
