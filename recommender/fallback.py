"""Lists for all known users without a model: made in the database, by what answers readers too."""

import pyarrow as pa
from psycopg2 import sql

from database.engine import transaction
from recommender.ages import show_ages_here
from recommender.dataset import Summary
from recommender.publish import table_of
from recommender.runs import APPLICATION_NAME

LEAST_USERS = 2
LEAST_ITEMS = 2


def shortage(summary: Summary, least_pairs: int) -> str | None:
    """Return what is missing to train a model in one line, or None where there is enough."""
    enough = (
        summary.positive >= least_pairs
        and summary.users >= LEAST_USERS
        and summary.items >= LEAST_ITEMS
    )
    if enough:
        return None
    return (
        f"too little data for a model: {summary.positive} positive listener-item pairs of "
        f"{summary.users} listeners and {summary.items} items, needed are {least_pairs} pairs "
        f"(TRAIN_MIN_INTERACTIONS) of {LEAST_USERS} listeners and {LEAST_ITEMS} items"
    )


def write_fallback_lists(url: str, model_run_id: int, top_n: int, ages: pa.Table) -> int:
    """Fill the run's own table for everyone who is announced or has listened; return the rows."""
    statement = sql.SQL(
        "INSERT INTO {table} (model_run_id, user_id, rank, item_id, score, source, reason)"
        " SELECT %(run)s, u.user_id, f.rank, f.item_id, f.score, f.source, f.reason"
        " FROM (SELECT user_id FROM users UNION SELECT user_id FROM user_item_affinity) AS u"
        " CROSS JOIN LATERAL fallback_for(u.user_id, %(top_n)s) AS f"
    ).format(table=table_of("recommendations", model_run_id))
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        # The run's own, which readers see with the run and not before.
        show_ages_here(cursor, ages)
        cursor.execute(statement, {"run": model_run_id, "top_n": top_n})
        return int(cursor.rowcount)
