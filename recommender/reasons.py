"""How the reason for a recommendation is put into words."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

PLAYED: Final = "because you played {title}"
NEW_LIKE: Final = "new, and like {title}"


def reason(titles: Sequence[str], because: int, *, explored: bool) -> str:
    """Put into words which item of the listener, by number, speaks for a recommendation."""
    words = NEW_LIKE if explored else PLAYED
    return words.format(title=titles[because])


def reasons(
    titles: Sequence[str], because: NDArray[np.int64], explored: NDArray[np.bool_]
) -> NDArray[np.object_]:
    """Return the reason of each of many recommendations.

    What is said more than once is put together once: a block of lists repeats most of it.
    """
    kinds, place = np.unique(because * 2 + explored, return_inverse=True)
    said = [reason(titles, one // 2, explored=bool(one % 2)) for one in kinds.tolist()]
    return np.array(said, np.object_)[place]
