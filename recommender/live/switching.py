"""What a switch of runs has to do with live lists: no list of an interaction is lost with it."""

from psycopg2 import extensions


def hold_off_workers(cursor: extensions.cursor) -> None:
    """Wait until the batches in hand are committed; the next ones wait for this transaction.

    A lock on the table, not on its row: workers that share the row's lock, one after the other
    without a break, would never let it go.
    """
    cursor.execute("LOCK TABLE published_run IN EXCLUSIVE MODE")


def queue_newer_than(cursor: extensions.cursor, model_run_id: int) -> None:
    """Queue users whose list may have been made from more than the run's own data.

    The run read its data after it started. A list that was made before that holds nothing newer.
    """
    cursor.execute(
        "WITH queued AS ("
        " INSERT INTO live_queue (user_id, bucket, bulk)"
        " SELECT l.user_id, live_bucket(l.user_id), true FROM live_recommendations AS l"
        " WHERE l.made_at > (SELECT started_at FROM model_runs WHERE model_run_id = %(run)s)"
        " AND l.model_run_id <> %(run)s"
        " RETURNING 1)"
        " SELECT pg_notify('encore_live', '') FROM queued LIMIT 1",
        {"run": model_run_id},
    )
