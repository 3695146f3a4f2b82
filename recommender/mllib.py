"""Training by Spark: the data in its executors, ALS by MLlib, lists made where the data are."""

import numpy as np
import scipy.sparse as sp
from psycopg2 import sql
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recommender.als import AlsParameters, fit
from recommender.arrow_lists import index_lists, number_lists
from recommender.bundle import Bundle
from recommender.catalogue import Catalogue
from recommender.dataset import Snapshot, number_users, read_pairs
from recommender.lists import personal_lists, weights_of
from recommender.publish import write_lists
from recommender.quality import Tested
from recommender.split import before, everything, ratings
from recommender.topk import Als, Indexes

_MOST_PAIRS = 5_000_000  # of which co-listening is counted, on the driver


class SparkPart:
    """Listeners with their pairs as of one moment."""

    def __init__(self, view: DataFrame, items: int, parameters: AlsParameters) -> None:
        """Take a view of :mod:`recommender.split`."""
        self._view = view
        self._ratings = ratings(view)
        self._items = items
        self._parameters = parameters

    def fit(self) -> Als:
        """Factorise."""
        return fit(self._ratings, self._items, self._parameters).items

    def listeners(self) -> Indexes:
        """Return how many listeners each item has."""
        counts = np.zeros(self._items, np.int64)
        table = self._ratings.groupBy("item").count().toArrow()
        counts[table.column("item").to_numpy()] = table.column("count").to_numpy()
        return counts

    def co_listening(self) -> sp.csr_matrix:
        """Return the positive pairs of as many listeners as the driver can well hold."""
        # Listeners are numbered in the order of a hash, so any stretch of them is a sample.
        size = self._view.select(
            F.max("user").alias("last"),
            F.sum(F.size(F.filter("weights", lambda one: one > 0))).alias("pairs"),
        ).collect()[0]
        users = int((size["last"] or 0) + 1)
        share = min(1.0, _MOST_PAIRS / max(size["pairs"] or 1, 1))
        table = self._ratings.where(F.col("user") < int(users * share)).toArrow()
        row, column = (table.column(name).to_numpy() for name in ("user", "item"))
        shape = (max(int(users * share), 1), self._items)
        return sp.csr_matrix((table.column("rating").to_numpy(), (row, column)), shape)


class SparkTrainer:
    """``user_item_affinity`` in the executors."""

    scaled = True

    def __init__(self, numbered: DataFrame, items: int, parameters: AlsParameters) -> None:
        """Take listeners with their pairs."""
        self._items = items
        self._before = before(numbered).persist()
        self._everything = everything(numbered)
        self.past = SparkPart(self._before, items, parameters)
        self.present = SparkPart(self._everything, items, parameters)

    def tested(self, most: int) -> Tested:
        """Return listeners on both sides of the split."""
        both = self._before.where(
            (F.size("relevant") > 0) & F.exists("weights", lambda one: one > 0)
        )
        some = both.orderBy(F.xxhash64("user_id")).limit(most).toArrow().combine_chunks()
        batch = some.to_batches()[0] if some.num_rows else None
        if batch is None:
            return Tested(weights_of([], [], self._items), [], weights_of([], [], self._items))
        known, relevant = index_lists(batch, "known"), index_lists(batch, "relevant")
        return Tested(
            weights_of(known, number_lists(batch, "weights"), self._items),
            known,
            weights_of(relevant, [np.ones(len(one)) for one in relevant], self._items),
        )

    def write(self, bundle: Bundle, url: str, top_n: int) -> int:
        """Make the lists in the executors, which write them."""
        session = self._everything.sparkSession
        users = self._everything.where(F.exists("weights", lambda one: one > 0))
        shared = session.sparkContext.broadcast(bundle)
        return write_lists(personal_lists(users, shared, top_n), url, bundle.model_run_id)


def read(
    spark: SparkSession,
    snapshot: Snapshot,
    columns: sql.Composed,
    catalogue: Catalogue,
    parameters: AlsParameters,
) -> SparkTrainer:
    """Read all pairs of the snapshot, each task its own range of pages."""
    context = spark.sparkContext
    ids = context.broadcast(list(catalogue.ids))
    pairs = read_pairs(spark, snapshot, columns, ids, partitions=context.defaultParallelism)
    return SparkTrainer(number_users(pairs), len(catalogue.ids), parameters)
