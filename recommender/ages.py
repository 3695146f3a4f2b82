"""What is popular with each age group: for listeners of whom only the year of birth is known.

``age_popularity`` holds no sum that a batch could be merged into, since what listeners gave decays:
every run makes it anew from the snapshot that it trains on, and replaces it when readers switch.
"""

from typing import Final

import psycopg2.extensions
import pyarrow as pa
from psycopg2 import sql

from recommender.arrow_copy import copy_in, read_table
from recommender.dataset import Summary
from recommender.pairs import POSITIVE, weight_as_of

TABLE: Final = sql.Identifier("age_popularity")
# What one listener alone plays is not popular with an age group, and nobody else's to know.
LEAST_LISTENERS: Final = 2

AGE_SCHEMA: Final = pa.schema(
    [
        ("birth_decade", pa.int16()),
        ("rank", pa.int16()),
        ("item_id", pa.string()),
        ("listeners", pa.int64()),
        ("score", pa.float64()),
    ]
)


def popular_by_age(cursor: psycopg2.extensions.cursor, summary: Summary, top_n: int) -> pa.Table:
    """Return the rows of ``age_popularity``: the top items of the listeners born in each decade.

    A listener counts as one complete play at most: otherwise one who plays a track all day
    would speak for everybody of their age.
    """
    now = sql.SQL("to_timestamp({})").format(sql.Literal(summary.now_s))
    query = sql.SQL(
        "SELECT t.birth_decade, t.rank, t.item_id, t.listeners, t.score FROM ("
        " SELECT g.*, row_number() OVER ("
        "  PARTITION BY g.birth_decade ORDER BY g.score DESC, g.item_id) AS rank"
        " FROM (SELECT u.birth_year / 10 * 10 AS birth_decade, a.item_id, count(*) AS listeners,"
        "  sum(least({weight}, 1)) AS score"
        "  FROM user_item_affinity AS a JOIN users AS u USING (user_id)"
        "  WHERE u.birth_year IS NOT NULL AND {positive}"
        "  GROUP BY 1, 2 HAVING count(*) >= {least}) AS g) AS t"
        " WHERE t.rank <= {top_n} ORDER BY 1, 2"
    ).format(
        weight=weight_as_of(now, summary.half_life_s),
        positive=POSITIVE,
        least=sql.Literal(LEAST_LISTENERS),
        top_n=sql.Literal(top_n),
    )
    return read_table(cursor, query, AGE_SCHEMA)


def replace_ages(cursor: psycopg2.extensions.cursor, ages: pa.Table) -> None:
    """Put rows in place of those that ``age_popularity`` holds.

    It locks rows, never the table: readers see the rows before until the transaction ends.
    """
    cursor.execute(sql.SQL("DELETE FROM {}").format(TABLE))
    _fill(cursor, ages)


def show_ages_here(cursor: psycopg2.extensions.cursor, ages: pa.Table) -> None:
    """Let this transaction alone see the rows as ``age_popularity``, before anybody else does.

    A temporary table goes before the one of the same name, in functions as well.
    """
    cursor.execute(
        sql.SQL("CREATE TEMPORARY TABLE {0} (LIKE {0} INCLUDING INDEXES) ON COMMIT DROP").format(
            TABLE
        )
    )
    _fill(cursor, ages)
    cursor.execute(sql.SQL("ANALYZE {}").format(TABLE))


def _fill(cursor: psycopg2.extensions.cursor, ages: pa.Table) -> None:
    for batch in ages.to_batches():
        copy_in(cursor, TABLE, batch)
