"""Lists by folding listeners in: the published run's model, and what they gave items as of now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg2 import extensions
from threadpoolctl import threadpool_limits

from recommender.artifact import load_bundle
from recommender.bundle import EXPLORE, PERSONAL, Bundle, Lists
from recommender.live.listeners import read_listeners
from recommender.live.lists import MadeList
from recommender.reasons import reasons
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
                lists = self.bundle.lists(names, read.weights[part], read.known[part], n)
                yield from self._made(names, lists)

    def _made(self, user_ids: Sequence[str], lists: Lists) -> Iterator[MadeList]:
        there = lists.items >= 0
        explored = lists.explored[there]
        item_ids = self._ids[lists.items[there]].tolist()
        scores = lists.scores[there].tolist()
        sources = np.where(explored, EXPLORE, PERSONAL).tolist()
        titles = self.bundle.catalogue.titles
        because = reasons(titles, lists.because[there], explored).tolist()
        ends = np.cumsum(there.sum(axis=1)).tolist()
        for user_id, start, end in zip(user_ids, [0, *ends], ends, strict=False):
            part = slice(start, end)
            yield MadeList(user_id, item_ids[part], scores[part], sources[part], because[part])

    @cached_property
    def _ids(self) -> NDArray[np.object_]:
        return np.array(self.bundle.catalogue.ids, np.object_)


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
