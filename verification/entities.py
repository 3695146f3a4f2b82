"""What the tables of users and items must hold, from their compacted topics.

Kafka keeps the newest record of a key only. Where it has thrown away records that were counted,
some rows can no longer be recomputed, and those are left out:

- users and items with a record beyond the counted offsets, whose older one may be gone, or with a
  rejected one, which replaces in Kafka what it did not replace in the table;
- artists, albums and genres that no record in Kafka names any more, but an older one may have.

The name of an artist and the title of an album may differ between items. Which one stands in the
table depends on the order in which items of several partitions came, so any that was announced
is right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from encore.events import ITEM_FIELDS, USER_FIELDS, Field, Reason
from verification.compare import Check
from verification.events import HELD, Fates
from verification.parse import check, parse
from verification.source import Ranges, within

USERS = Check(
    "users",
    ("user_id",),
    (
        "name",
        "birth_year",
        "gender",
        "city",
        "country",
        "time_zone",
        "device",
        "level",
        "registered_at",
        "updated_at",
    ),
)
ITEMS = Check(
    "items",
    ("item_id",),
    ("title", "artist_id", "album_id", "duration_ms", "released_at", "updated_at"),
)
ARTISTS = Check("artists", ("artist_id",), one_of=("name",), needed="needed")
ALBUMS = Check("albums", ("album_id",), one_of=("title", "artist_id"), needed="needed")
GENRES = Check("genres", ("genre",), needed="needed")
ITEM_GENRES = Check("item_genres", ("item_id", "genre"), ("position",))
OF_USERS = (USERS,)
OF_ITEMS = (ITEMS, ARTISTS, ALBUMS, GENRES, ITEM_GENRES)


@dataclass(frozen=True)
class JudgedEntities:
    """The records of a compacted topic to its end.

    ``records`` has the fields of the contract, ``deleted``, ``reason``, ``field``, the place, and
    ``counted`` where the offset is one that was counted. ``whole`` is true if Kafka still has
    every record that was counted.
    """

    key: str
    records: DataFrame
    fates: dict[int, Fates]
    whole: bool

    @property
    def accepted(self) -> DataFrame:
        """Return the counted versions, each with ``newest``: whether it is the last of its key."""
        counted = self.records.filter("counted AND reason IS NULL")
        last = F.max("offset").over(Window.partitionBy(self.key))
        return counted.withColumn("newest", F.col("offset") == last)

    @property
    def last(self) -> DataFrame:
        """Return the last counted version of each key that is not a deletion."""
        return self.accepted.filter("newest AND NOT deleted")

    @property
    def rejected(self) -> DataFrame:
        """Return the counted records that break the contract."""
        return self.records.filter("counted AND reason IS NOT NULL")

    @property
    def unsure(self) -> DataFrame | None:
        """Return the keys whose rows cannot be recomputed, or None if all can."""
        if self.whole:
            return None
        replaced = self.records.filter("NOT counted OR reason IS NOT NULL")
        return replaced.select(F.col("named").alias(self.key)).dropna().distinct()


def judge_users(records: DataFrame, counted: Ranges) -> JudgedEntities:
    """Check the records of the users topic; ``counted`` are the offsets that were counted."""
    return _judge(records, USER_FIELDS, "user_id", counted)


def judge_items(records: DataFrame, counted: Ranges) -> JudgedEntities:
    """Check the records of the items topic; ``counted`` are the offsets that were counted."""
    return _judge(records, ITEM_FIELDS, "item_id", counted)


def _judge(
    records: DataFrame, fields: Sequence[Field], key: str, counted: Ranges
) -> JudgedEntities:
    checked = _with_deletions(check(parse(records, fields), fields), key)
    named = F.coalesce(F.col(key), F.col("key").cast("string"))
    held = checked.withColumns({"counted": within(counted), "named": named}).persist(HELD)
    found = held.filter("counted").groupBy("partition")
    fates = {
        row["partition"]: Fates(row["found"], row["accepted"], 0, row["rejected"])
        for row in found.agg(
            F.count(F.lit(1)).alias("found"),
            F.count_if(F.col("reason").isNull()).alias("accepted"),
            F.count_if(F.col("reason").isNotNull()).alias("rejected"),
        ).collect()
    }
    passed = sum(end - first for first, end in counted.values())
    whole = sum(one.found for one in fates.values()) == passed
    return JudgedEntities(key, held, fates, whole)


def _with_deletions(checked: DataFrame, key: str) -> DataFrame:
    """Turn records without a value into deletions of the entity that Kafka's key names."""
    empty = F.col("reason").eqNullSafe(Reason.EMPTY.value)
    deleted = empty & F.col("value").isNull() & F.col("key").isNotNull()
    return checked.withColumns(
        {
            "deleted": deleted,
            key: F.when(deleted, F.col("key").cast("string")).otherwise(F.col(key)),
            "reason": F.when(~deleted, F.col("reason")),
        }
    )


def expected_users(users: JudgedEntities) -> DataFrame:
    """Return the last version of each user."""
    times = (_time("registered"), _time("updated"))
    return users.last.select("user_id", *USERS.exact[:-2], *times)


def expected_items(items: JudgedEntities) -> DataFrame:
    """Return the last version of each item."""
    times = (_time("released"), _time("updated"))
    return items.last.select("item_id", *ITEMS.exact[:-2], *times)


def expected_artists(items: JudgedEntities) -> DataFrame:
    """Return every artist that was announced, with its names."""
    named = _announced(items).filter("artist_id IS NOT NULL")
    return named.groupBy("artist_id").agg(_needed(), _values("artist_name", "name"))


def expected_albums(items: JudgedEntities) -> DataFrame:
    """Return every album that was announced, with its titles and artists."""
    titles, artists = _values("album_title", "title"), _values("artist_id", "artist_id")
    named = _announced(items).filter("album_id IS NOT NULL")
    return named.groupBy("album_id").agg(_needed(), titles, artists)


def expected_genres(items: JudgedEntities) -> DataFrame:
    """Return every genre that was announced."""
    announced = _announced(items).select("newest", F.explode("genres").alias("genre"))
    return announced.filter("genre IS NOT NULL").groupBy("genre").agg(_needed())


def expected_item_genres(items: JudgedEntities) -> DataFrame:
    """Return the genres of each item's last version; of a genre named twice, the first place."""
    genres = items.last.select("item_id", F.posexplode("genres").alias("before", "genre"))
    named = genres.filter("genre IS NOT NULL")
    return named.groupBy("item_id", "genre").agg((F.min("before") + 1).alias("position"))


EXPECTED: Mapping[str, Callable[[JudgedEntities], DataFrame]] = {
    "items": expected_items,
    "artists": expected_artists,
    "albums": expected_albums,
    "genres": expected_genres,
    "item_genres": expected_item_genres,
}


def unsure_of(check: Check, items: JudgedEntities, stored: DataFrame) -> DataFrame | None:
    """Return the keys of a table's rows that cannot be recomputed, or None if all can."""
    if items.whole or items.key in check.key:
        return items.unsure
    keys = EXPECTED[check.table](items).select(*check.key)
    return stored.select(*check.key).join(keys, list(check.key), "left_anti")


def _announced(items: JudgedEntities) -> DataFrame:
    # A version that another replaced within one batch left nothing behind, so only what the last
    # ones name is needed; what others name may be there.
    return items.accepted.filter("NOT deleted")


def _needed() -> Column:
    return F.max("newest").alias("needed")


def _values(source: str, name: str) -> Column:
    return F.collect_set(F.struct(F.col(source).alias("v"))).alias(name)


def _time(name: str) -> Column:
    return F.timestamp_millis(f"{name}_ts").alias(f"{name}_at")
