"""What an engine does for a training: fit the past and the present, and make everyone's lists.

Two engines do it: MLlib (:mod:`recommender.mllib`), on a cluster or on one machine, and the
package ``implicit`` (:mod:`recommender.local`), for data that one machine holds. What they make is
the same: item factors by item number.
"""

from typing import Protocol

import scipy.sparse as sp

from recommender.bundle import Bundle
from recommender.quality import Tested
from recommender.topk import Als, Indexes


class Part(Protocol):
    """The data as of one moment: of the split, or of now."""

    def fit(self) -> Als:
        """Factorise.

        Raises:
            EncoreError: what came out is not finite numbers.
        """

    def listeners(self) -> Indexes:
        """Return how many listeners each item has, (items,)."""

    def co_listening(self) -> sp.csr_matrix:
        """Return positive pairs (listeners, items): of all listeners, or of enough of them."""


class Trainer(Protocol):
    """An engine that has read the data."""

    @property
    def scaled(self) -> bool:
        """Tell whether the engine scales the regularisation by a listener's items."""

    @property
    def past(self) -> Part:
        """Return the data as of the split."""

    @property
    def present(self) -> Part:
        """Return all data."""

    def tested(self, most: int) -> Tested:
        """Return listeners on both sides of the split, at most so many, the same ones each time."""

    def write(self, bundle: Bundle, url: str, top_n: int) -> int:
        """Write everyone's list into the run's own table; return how many rows."""
