"""Which run readers see: switched in one transaction, forward and back. Loads no Spark."""

import psycopg2.extensions

from database.engine import transaction
from encore.errors import EncoreError
from recommender.live.switching import hold_off_workers, queue_newer_than
from recommender.runs import APPLICATION_NAME, published_run


def show_readers(cursor: psycopg2.extensions.cursor, model_run_id: int) -> None:
    """Point readers at a run whose tables are attached, and close the one before."""
    # Before workers are held off: a deletion may wait for one of them.
    cursor.execute("SELECT leave_out_erased(%s)", (model_run_id,))
    hold_off_workers(cursor)
    cursor.execute("UPDATE model_runs SET status = 'superseded' WHERE status = 'published'")
    cursor.execute(
        "INSERT INTO published_run (model_run_id) VALUES (%s)"
        " ON CONFLICT (singleton) DO UPDATE SET model_run_id = excluded.model_run_id",
        (model_run_id,),
    )
    cursor.execute(
        "UPDATE model_runs SET status = 'published', published_at = clock_timestamp(),"
        " duration_seconds = coalesce(duration_seconds,"
        " extract(epoch FROM clock_timestamp() - started_at))"
        " WHERE model_run_id = %s",
        (model_run_id,),
    )
    cursor.execute(
        "INSERT INTO run_switches (switched_at, model_run_id) SELECT published_at, model_run_id"
        " FROM model_runs WHERE model_run_id = %s",
        (model_run_id,),
    )
    queue_newer_than(cursor, model_run_id)


def roll_back(url: str, model_run_id: int | None = None) -> tuple[int, int]:
    """Switch readers to an older run that is still kept; return the numbers of both, old and new.

    Without a number it is the one that was published last before the published one. What is
    popular with each age group stays as the newest run has it: no model is in it.

    Raises:
        EncoreError: there is no such run.
    """
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        run = published_run(cursor)
        cursor.execute(
            "SELECT model_run_id FROM model_runs WHERE status = 'superseded'"
            " AND (model_run_id = %s OR %s::bigint IS NULL) ORDER BY published_at DESC LIMIT 1",
            (model_run_id, model_run_id),
        )
        found = cursor.fetchone()
    if run is None:
        raise EncoreError("no run is published, so there is none to go back from")
    if found is None:
        which = "an older run" if model_run_id is None else f"run {model_run_id}"
        raise EncoreError(
            f"{which} is not kept for going back to. `encore runs` shows which are superseded; "
            "RECOMMEND_KEEP_RUNS says how many are kept."
        )
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        show_readers(cursor, found[0])
    return run["model_run_id"], found[0]
