"""Lists by folding listeners in: the published run's model, and what they gave items as of now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from psycopg2 import extensions

from recommender.artifact import load_bundle
from recommender.bundle import Bundle, Lists
from recommender.entries import entries
from recommender.live.listeners import Listeners, read_listeners
from recommender.live.lists import MadeList
from recommender.rules import Rules


@dataclass(frozen=True)
class FoldedLists:
    """A run's model, ready to fold listeners in and to rank what they do not know."""

    bundle: Bundle
    half_life_s: float

    @property
    def model_run_id(self) -> int:
        """Return the run that the model comes from."""
        return self.bundle.model_run_id

    def listeners(self, cursor: extensions.cursor, user_ids: Sequence[str]) -> Listeners:
        """Read what users gave the model's items as of now."""
        as_of = datetime.fromtimestamp(self.bundle.as_of_s, UTC)
        return read_listeners(
            cursor, user_ids, self.bundle.catalogue.names, as_of, self.half_life_s
        )

    def lists(
        self, cursor: extensions.cursor, user_ids: Sequence[str], n: int
    ) -> Iterator[MadeList]:
        """Yield a list for each user of whom something positive is known as of now."""
        read = self.listeners(cursor, user_ids)
        size = self.bundle.block_rows
        for start in range(0, len(read.user_ids), size):
            part = slice(start, start + size)
            names = read.user_ids[part]
            lists = self.bundle.lists(names, read.weights[part], read.known[part], n)
            yield from self._made(names, lists)

    def _made(self, user_ids: Sequence[str], lists: Lists) -> Iterator[MadeList]:
        found = entries(self.bundle.catalogue, lists)
        columns = [
            found.item_ids.to_pylist(),
            found.scores.tolist(),
            found.sources.to_pylist(),
            found.reasons.to_pylist(),
        ]
        ends = np.cumsum(found.lengths).tolist()
        for user_id, start, end in zip(user_ids, [0, *ends], ends, strict=False):
            yield MadeList(user_id, *(one[start:end] for one in columns))


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
    return FoldedLists(bundle, _half_life_s(cursor, half_life_days))


def _half_life_s(cursor: extensions.cursor, otherwise_days: float) -> float:
    cursor.execute(
        "SELECT coalesce(feature_setting('feature_affinity_half_life_days'), %s) * 86400",
        (otherwise_days,),
    )
    ((seconds,),) = cursor.fetchall()
    return float(seconds)
