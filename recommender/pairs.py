"""What a pair of user and item weighs, as SQL: written once, for training and folding in alike."""

from typing import Final

from psycopg2 import sql

# One definition of a pair's kind, for the summary, the items and the pairs alike.
DISLIKED: Final = sql.SQL("(a.dislikes > greatest(a.likes - a.unlikes, 0))")
POSITIVE: Final = sql.SQL("(a.signal > 0 AND NOT {})").format(DISLIKED)


def weight_as_of(moment: sql.Composable, half_life_s: float) -> sql.Composed:
    """Return what a pair weighs at a moment, as SQL over ``user_item_affinity AS a``."""
    return sql.SQL("CASE WHEN {} THEN {} ELSE 0 END::float8").format(
        POSITIVE, decayed("a.signal", "a.last_at", moment, half_life_s)
    )


def decayed(signal: str, since: str, moment: sql.Composable, half_life_s: float) -> sql.Composed:
    """Return a decayed sum carried on to a moment, as SQL."""
    # One from after the moment (a clock that runs ahead) stays as it is.
    return sql.SQL("halved({}, greatest({} - {}, interval '0'), {})").format(
        sql.SQL(signal), moment, sql.SQL(since), sql.Literal(half_life_s)
    )
