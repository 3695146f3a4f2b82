"""Lists by folding listeners in: the published run's model, and what they gave items as of now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from psycopg2 import extensions
from threadpoolctl import threadpool_limits

from recommender.artifact import load_bundle
from recommender.bundle import EXPLORE, PERSONAL, Bundle
from recommender.lists import reason
from recommender.live.listeners import read_listeners
from recommender.live.lists import MadeList
from recommender.rules import Rules


@dataclass(frozen=True)
class FoldedLists:
    """A run's model, ready to fold listeners in and to rank what they do not know."""

    bundle: Bundle
    item_ids: pa.Array
    half_life_s: float

    @property
    def model_run_id(self) -> int:
        """Return the run that the model comes from."""
        return self.bundle.model_run_id

    def lists(
        self, cursor: extensions.cursor, user_ids: Sequence[str], n: int
    ) -> Iterator[MadeList]:
        """Yield a list for each user of whom something positive is known as of now."""
        as_of = datetime.fromtimestamp(self.bundle.as_of_s, UTC)
        read = read_listeners(cursor, user_ids, self.item_ids, as_of, self.half_life_s)
        size = self.bundle.block_rows
        with threadpool_limits(1):  # one small solve after another: threads only get in the way
            for start in range(0, len(read.user_ids), size):
                part = slice(start, start + size)
                names = read.user_ids[part]
                made = self.bundle.lists(names, read.weights[part], read.known[part], n)
                for row, user_id in enumerate(names):
                    there = np.flatnonzero(made.items[row] >= 0)
                    explored = made.explored[row, there].tolist()
                    yield MadeList(
                        user_id,
                        [self.bundle.catalogue.ids[item] for item in made.items[row, there]],
                        made.scores[row, there].tolist(),
                        [EXPLORE if one else PERSONAL for one in explored],
                        [
                            reason(self.bundle, because, explored=one)
                            for because, one in zip(
                                made.because[row, there].tolist(), explored, strict=True
                            )
                        ],
                    )


def load_folded(
    cursor: extensions.cursor, rules: Rules, half_life_days: float
) -> FoldedLists | None:
    """Return the published model, or None where the published run has none.

    ``half_life_days`` is taken where the database does not say its own.

    Raises:
        EncoreError: the model's files are damaged.
    """
    bundle = load_bundle(cursor, rules)
    if bundle is None:
        return None
    ids = pa.array(bundle.catalogue.ids, pa.string())
    return FoldedLists(bundle, ids, _half_life_s(cursor, half_life_days))


def _half_life_s(cursor: extensions.cursor, otherwise_days: float) -> float:
    cursor.execute(
        "SELECT coalesce(feature_setting('feature_affinity_half_life_days'), %s) * 86400",
        (otherwise_days,),
    )
    ((seconds,),) = cursor.fetchall()
    return float(seconds)
