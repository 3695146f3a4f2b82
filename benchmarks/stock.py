"""Recommendations the stock way: MLlib's ALS and ``recommendForAllUsers``, tables by JDBC.

It is what a tutorial does, done with care: enough is asked for that the known items can be taken
out again, and PostgreSQL's driver may put rows of an insert together.
"""

from dataclasses import dataclass
from pathlib import Path

from psycopg2 import extensions
from pyspark.ml.feature import IndexToString, StringIndexer
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from database.engine import transaction
from encore.paths import PROJECT_ROOT
from encore.stack.artifacts import fetch_jars
from recommender.als import AlsParameters

_TABLE = "stock_recommendations"
_ENOUGH = 2  # times as many as a list holds, so that it is full without the known ones


def jdbc_jars() -> list[Path]:
    """Return PostgreSQL's JDBC driver, fetched if it is not in the cache."""
    return fetch_jars("jdbc", PROJECT_ROOT / "benchmarks" / "ivy.xml", "jdbc")


@dataclass(frozen=True)
class StockWay:
    """The stock way in a Spark session."""

    spark: SparkSession
    database: str
    parameters: AlsParameters
    top_n: int

    def make_table(self) -> None:
        """Make the plain table that lists are appended to, anew."""
        with transaction(self.database) as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {_TABLE}")
            cursor.execute(
                f"CREATE TABLE {_TABLE} (user_id text, item_id text, rank integer, score real)"
            )

    def refresh(self) -> None:
        """Read, train, recommend to everyone what they do not know, write."""
        users, items, pairs = self.read()
        lists = self.lists(self.fit(pairs), pairs)
        for column, labels in (("user", users), ("item", items)):
            lists = IndexToString(
                inputCol=column, outputCol=f"{column}_id", labels=labels
            ).transform(lists)
        url, properties = self._jdbc()
        lists.select("user_id", "item_id", "rank", "score").write.jdbc(
            url, _TABLE, mode="append", properties=properties
        )

    def read(self) -> tuple[list[str], list[str], DataFrame]:
        """Return the names of users and items, and pairs of their numbers, which Spark keeps."""
        url, properties = self._jdbc()
        pairs = self.spark.read.jdbc(url, "user_item_affinity", properties=properties).where(
            "signal > 0"
        )
        pairs = pairs.select("user_id", "item_id", F.col("signal").alias("rating")).persist()
        names = []
        for column in ("user", "item"):
            indexer = StringIndexer(inputCol=f"{column}_id", outputCol=column).fit(pairs)
            pairs = indexer.transform(pairs).withColumn(column, F.col(column).cast("int"))
            names.append(indexer.labels)
        return names[0], names[1], pairs.select("user", "item", "rating").persist()

    def fit(self, pairs: DataFrame) -> ALSModel:
        """Train with the same parameters as Encore."""
        return ALS(
            rank=self.parameters.rank,
            maxIter=self.parameters.iterations,
            regParam=self.parameters.regularization,
            numUserBlocks=self.parameters.blocks,
            numItemBlocks=self.parameters.blocks,
            implicitPrefs=True,
            alpha=self.parameters.alpha,
            userCol="user",
            itemCol="item",
            ratingCol="rating",
            seed=self.parameters.seed,
        ).fit(pairs)

    def lists(self, model: ALSModel, known: DataFrame) -> DataFrame:
        """Return the best of each user that they do not know."""
        best = Window.partitionBy("user").orderBy(F.desc("score"))
        return (
            model.recommendForAllUsers(self.top_n * _ENOUGH)
            .select("user", F.explode("recommendations").alias("one"))
            .select("user", F.col("one.item").alias("item"), F.col("one.rating").alias("score"))
            .join(known, ["user", "item"], "left_anti")
            .withColumn("rank", F.row_number().over(best))
            .where(F.col("rank") <= self.top_n)
        )

    def _jdbc(self) -> tuple[str, dict[str, str]]:
        asked = extensions.parse_dsn(self.database)
        url = f"jdbc:postgresql://{asked['host']}:{asked['port']}/{asked['dbname']}"
        return url, {
            "user": asked["user"],
            "password": asked.get("password", ""),
            "driver": "org.postgresql.Driver",
            "reWriteBatchedInserts": "true",
        }
