"""Lists in the words of the database: ids, sources and reasons in place of numbers."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recommender.bundle import EXPLORE, PERSONAL, Lists
from recommender.catalogue import Catalogue


class Entries(NamedTuple):
    """What stands in lists, those of one listener after those of another.

    ``lengths`` has the length of each listener's list; the others are as long as all together.
    """

    lengths: NDArray[np.int64]
    item_ids: pa.Array
    scores: NDArray[np.float32]
    sources: pa.Array
    reasons: pa.Array


def entries(catalogue: Catalogue, lists: Lists) -> Entries:
    """Return the entries of lists, best first."""
    there = lists.items >= 0
    explored = lists.explored[there]
    said = lists.because[there] + len(catalogue.ids) * explored
    return Entries(
        there.sum(axis=1),
        catalogue.names.take(_numbers(lists.items[there])),
        lists.scores[there],
        pa.array([PERSONAL, EXPLORE]).take(_numbers(explored.astype(np.int8))),
        catalogue.reasons.take(_numbers(said)),
    )


def _numbers(values: NDArray[Any]) -> pa.Array:
    return pa.array(values)
