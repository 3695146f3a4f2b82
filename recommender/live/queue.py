"""The queue of users whose list is to be made anew, and the workers that it is filled for.

The stream appends the users of each batch in the transaction that counts it, while a worker is
registered, and wakes the workers by NOTIFY. It never waits for them.

A worker locks buckets of users for the length of its transaction, so no user is in two hands at
once, and what it reads after that is newer than what the worker before it wrote. Rows are deleted
in the transaction that writes the lists: a crash leaves them for the next.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg2 import extensions, sql

CHANNEL = "encore_live"
BUCKETS_AT_ONCE = 16  # of 64: others can work on the rest
# A worker that stands still in mid-batch (SIGSTOP, a debugger) must not hold up the next run.
LONGEST_STANDSTILL = "60s"

# The stream takes a worker seen within an hour for registered. Whoever registers asks for less,
# so that no moment lies between what the two take for a lapse.
_REGISTERED = sql.SQL("caught_up AND seen_at > now() - interval '30 minutes'")


def register(connection: extensions.connection, worker: UUID) -> int:
    """Let the stream queue users from now on; return how many were queued for a time without.

    After a time when no worker was registered nobody knows who did something meanwhile, so that
    everybody is queued. A worker that dies before that is done has not caught up, and the next
    one does it.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM live_workers WHERE seen_at < now() - interval '1 day'")
        cursor.execute(
            sql.SQL("SELECT EXISTS (SELECT FROM live_workers WHERE {})").format(_REGISTERED)
        )
        gapless = bool(_one(cursor))
        cursor.execute(
            "INSERT INTO live_workers (worker, caught_up) VALUES (%s, %s) ON CONFLICT (worker) "
            "DO UPDATE SET seen_at = now(), caught_up = excluded.caught_up",
            (str(worker), gapless),
        )
    if gapless:
        return 0
    with connection, connection.cursor() as cursor:
        # Waits for merges that looked for a worker before there was this one.
        cursor.execute("LOCK TABLE live_queue IN SHARE MODE")
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO live_queue (user_id, bucket, bulk) "
            "SELECT u.user_id, live_bucket(u.user_id), true "
            "FROM (SELECT DISTINCT user_id FROM user_item_affinity) AS u"
        )
        queued = int(cursor.rowcount)
        cursor.execute("UPDATE live_workers SET caught_up = true WHERE worker = %s", (str(worker),))
    return queued


def stay_registered(cursor: extensions.cursor, worker: UUID) -> bool:
    """Say that a worker works; return False if it has to register (anew)."""
    cursor.execute(
        sql.SQL("UPDATE live_workers SET seen_at = now() WHERE worker = %s AND {}").format(
            _REGISTERED
        ),
        (str(worker),),
    )
    return bool(cursor.rowcount)


def take(cursor: extensions.cursor, most: int) -> list[str]:
    """Take users from the queue, who are this transaction's alone until it ends.

    ``most`` rows are taken, those of users who just did something first.
    """
    cursor.execute(
        "SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
        (LONGEST_STANDSTILL,),
    )
    # In no fixed order, else a backlog in the first buckets would keep the others waiting.
    cursor.execute(
        "SELECT b.bucket FROM live_buckets AS b WHERE EXISTS "
        "(SELECT FROM live_queue AS q WHERE q.bulk IN (false, true) AND q.bucket = b.bucket) "
        "ORDER BY EXISTS (SELECT FROM live_queue AS q WHERE NOT q.bulk AND q.bucket = b.bucket) "
        "DESC, random() LIMIT %s FOR UPDATE SKIP LOCKED",
        (BUCKETS_AT_ONCE,),
    )
    buckets = [row[0] for row in cursor.fetchall()]
    if not buckets:
        return []
    # A statement of its own, which sees what was committed before the buckets were locked.
    cursor.execute(
        "DELETE FROM live_queue WHERE ctid = ANY (ARRAY(SELECT ctid FROM live_queue "
        "WHERE bucket = ANY (%s) ORDER BY bulk LIMIT %s)) RETURNING user_id",
        (buckets, most),
    )
    return sorted({row[0] for row in cursor.fetchall()})


def hold_published_run(cursor: extensions.cursor) -> int | None:
    """Return the published run, which stays that until the transaction ends."""
    cursor.execute("SELECT model_run_id FROM published_run FOR SHARE")
    rows: Sequence[Any] = cursor.fetchall()
    return int(rows[0][0]) if rows else None


def published_run_id(cursor: extensions.cursor) -> int | None:
    """Return the published run as of now."""
    cursor.execute("SELECT model_run_id FROM published_run")
    rows: Sequence[Any] = cursor.fetchall()
    return int(rows[0][0]) if rows else None


def _one(cursor: extensions.cursor) -> Any:
    ((value,),) = cursor.fetchall()
    return value
