"""How the reason for a recommendation is put into words."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_BECAUSE: Final = "because of "
_NEW_LIKE: Final = "new, and like "


def reasons(titles: Sequence[str]) -> pa.Array:
    """Return what an item of the listener is as a reason, for each item by number.

    First for items that are recommended for their score, then again for those to find out about.
    """
    words = pa.array(titles, pa.string())
    said = [pc.binary_join_element_wise(start, words, "") for start in (_BECAUSE, _NEW_LIKE)]
    return pa.concat_arrays(said)
