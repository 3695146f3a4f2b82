"""Lists by folding listeners in: the published run's item factors, and what they gave items."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
from psycopg2 import extensions, sql
from threadpoolctl import threadpool_limits

from recommender.arrow_copy import read_table
from recommender.foldin import HalfStep
from recommender.live.listeners import read_listeners
from recommender.live.lists import MadeList
from recommender.reasons import PERSONAL, contributors, unit_rows
from recommender.runs import published_run
from recommender.topk import Als, Floats, recommend

SOURCE: Final = "personal"

_FACTORS = pa.schema(
    [("item_id", pa.string()), ("title", pa.string()), ("factor", pa.float32())],
)
# One number a row: COPY has no lists, and a row an item would have to be taken apart again.
_READ_FACTORS = sql.SQL(
    "SELECT f.item_id, coalesce(i.title, f.item_id), v.factor FROM item_factors AS f "
    "LEFT JOIN items AS i USING (item_id) "
    "CROSS JOIN unnest(f.factors) WITH ORDINALITY AS v (factor, position) "
    'WHERE f.model_run_id = {run} ORDER BY f.item_id COLLATE "C", v.position'
)


@dataclass(frozen=True)
class FoldedLists:
    """A run's item factors, ready to fold listeners in and to rank what they do not know."""

    model_run_id: int
    as_of: datetime
    half_life_s: float
    item_ids: pa.Array
    titles: Sequence[str]
    items: Als
    unit: Floats
    half_step: HalfStep

    def lists(
        self, cursor: extensions.cursor, user_ids: Sequence[str], n: int
    ) -> Iterator[MadeList]:
        """Yield a list for each user of whom something positive is known as of now."""
        read = read_listeners(cursor, user_ids, self.item_ids, self.as_of, self.half_life_s)
        with threadpool_limits(1):  # one small solve after another: threads only get in the way
            factors = self.half_step.solve(read.weights)
        best = recommend(self.items, factors, read.known, n)
        for number, (user_id, (rows, scores)) in enumerate(zip(read.user_ids, best, strict=True)):
            liked = read.weights[number]
            confidence = 1.0 + self.half_step.alpha * liked.data.astype(np.float64)
            because = contributors(self.unit, rows, liked.indices.astype(np.int64), confidence)
            yield MadeList(
                user_id,
                self.item_ids.take(pa.array(rows)).to_pylist(),
                scores.tolist(),
                [SOURCE] * len(rows),
                [PERSONAL.format(title=self.titles[row]) for row in because.tolist()],
            )


def load_folded(cursor: extensions.cursor, half_life_days: float) -> FoldedLists | None:
    """Return the published model, or None where the published run has none.

    ``half_life_days`` is taken where the database does not say its own.
    """
    run = published_run(cursor)
    if run is None or run["algorithm"] != "als":
        return None
    query = _READ_FACTORS.format(run=sql.Literal(run["model_run_id"]))
    table = read_table(cursor, query, _FACTORS)
    if not table.num_rows:
        return None
    rank = int(run["parameters"]["rank"])
    factors = table.column("factor").to_numpy().reshape(-1, rank)
    first = pa.array(np.arange(0, table.num_rows, rank))
    return FoldedLists(
        model_run_id=run["model_run_id"],
        as_of=min(run["data_to"], run["started_at"]),
        half_life_s=_half_life_s(cursor, half_life_days),
        item_ids=table.column("item_id").take(first).combine_chunks(),
        titles=table.column("title").take(first).to_pylist(),
        items=Als(factors, np.asarray(factors.any(axis=1))),
        unit=unit_rows(factors),
        half_step=HalfStep.of(
            factors,
            alpha=float(run["parameters"]["alpha"]),
            regularization=float(run["parameters"]["regularization"]),
            scaled=True,  # MLlib scales it
        ),
    )


def _half_life_s(cursor: extensions.cursor, otherwise_days: float) -> float:
    cursor.execute(
        "SELECT coalesce(feature_setting('feature_affinity_half_life_days'), %s) * 86400",
        (otherwise_days,),
    )
    ((seconds,),) = cursor.fetchall()
    return float(seconds)
