"""Compare models on what users came to next, those users' known items left out for all alike."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame

from recommender import metrics
from recommender.arrow_lists import index_lists, matrix
from recommender.metrics import COVERAGE, NDCG, NDCG_AT, RECALL, RECALL_AT
from recommender.topk import Scorer, recommend

_PART_SCHEMA = "model string, users bigint, ndcg double, recall double, items array<bigint>"
_PART_ARROW = pa.schema(
    [
        ("model", pa.string()),
        ("users", pa.int64()),
        ("ndcg", pa.float64()),
        ("recall", pa.float64()),
        ("items", pa.list_(pa.int64())),
    ]
)

Quality = dict[str, float]


@dataclass(slots=True)
class Tally:
    """Sums over the users seen so far, and the distinct items of their lists."""

    users: int = 0
    ndcg: float = 0.0
    recall: float = 0.0
    items: set[int] = field(default_factory=set)

    def quality(self, catalogue_size: int) -> Quality:
        """Return the means a user, and the coverage of the catalogue."""
        users = max(self.users, 1)
        return {
            NDCG: self.ndcg / users,
            RECALL: self.recall / users,
            COVERAGE: len(self.items) / max(catalogue_size, 1),
        }


def evaluate(
    tested: DataFrame, scorers: Broadcast[Mapping[str, Scorer]], catalogue_size: int
) -> tuple[int, dict[str, Quality]]:
    """Return the number of users tested and each model's quality.

    ``tested`` has features, known and relevant for each user; relevant lists are not empty. An
    item that the training part has never seen stays relevant: no model can find it, so it costs
    all of them alike.
    """

    def parts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = [_part(name, scorer, batch) for name, scorer in scorers.value.items()]
            yield pa.RecordBatch.from_pylist(rows, _PART_ARROW)

    totals = {name: Tally() for name in scorers.value}
    for row in (
        tested.select("features", "known", "relevant").mapInArrow(parts, _PART_SCHEMA).collect()
    ):
        total = totals[row["model"]]
        total.users += row["users"]
        total.ndcg += row["ndcg"]
        total.recall += row["recall"]
        total.items.update(row["items"])
    users = max((total.users for total in totals.values()), default=0)
    return users, {name: total.quality(catalogue_size) for name, total in totals.items()}


def _part(name: str, scorer: Scorer, batch: pa.RecordBatch) -> dict[str, object]:
    tally = Tally()
    lists = recommend(
        scorer, matrix(batch, "features"), index_lists(batch, "known"), max(NDCG_AT, RECALL_AT)
    )
    for (ranked, _), relevant in zip(lists, index_lists(batch, "relevant"), strict=True):
        tally.users += 1
        tally.ndcg += metrics.ndcg(ranked, relevant, NDCG_AT)
        tally.recall += metrics.recall(ranked, relevant, RECALL_AT)
        tally.items.update(ranked[:RECALL_AT].tolist())
    return {
        "model": name,
        "users": tally.users,
        "ndcg": tally.ndcg,
        "recall": tally.recall,
        "items": sorted(tally.items),
    }
