"""Why an item was recommended: the known item that speaks most for it."""

import numpy as np
from numpy.typing import NDArray

from recommender.topk import Floats, Indexes

PERSONAL = "because you played {title}"


def contributors(
    unit_factors: Floats, recommended: Indexes, known: Indexes, confidence: NDArray[np.float64]
) -> Indexes:
    """Return for each recommended item the known item with the greatest confidence x cosine.

    ``unit_factors`` is (items, rank) with rows of length one, ``confidence`` goes with ``known``,
    which must not be empty. Equals go to the first in ``known``.
    """
    cosines = unit_factors[recommended] @ unit_factors[known].T
    best: Indexes = known[np.argmax(cosines * confidence, axis=1)]
    return best


def unit_rows(factors: Floats) -> Floats:
    """Return the rows scaled to length one; a row of zeros stays."""
    lengths = np.sqrt(np.square(factors).sum(axis=1, keepdims=True))
    lengths[lengths == 0] = 1
    scaled: Floats = factors / lengths
    return scaled
