"""Put a run's lists before readers in one step, and take old runs away.

The order, which ``publish`` follows:

1. Tables of the run's own are made beside the partitioned ones (``prepare``); nobody reads them.
2. Executors COPY the lists in, each task in one transaction that first removes what an earlier
   attempt of the same task left (``write_lists``); the driver writes similar items and the
   model's files.
3. Keys are built, and the tables are attached as partitions. Readers still see the old run.
4. Transactions that read ``recommendations`` before the attachment are waited for: a plan made
   before it does not know the new partition, and would find nothing after the switch.
5. One transaction points ``published_run`` at the run, marks the one before as superseded,
   replaces what is popular with each age group, and queues users with a list of `encore live` that
   may know more than the run.
6. Runs beyond those to keep are dropped, giving way to readers and trying again.
"""

import time
from collections.abc import Iterable, Iterator, Sequence

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import pyarrow as pa
from psycopg2 import sql
from pyspark import TaskContext
from pyspark.sql import DataFrame

from database.engine import connect, transaction
from encore.log import get_logger
from recommender.ages import replace_ages
from recommender.arrow_copy import copy_in
from recommender.runs import APPLICATION_NAME
from recommender.switch import show_readers

log = get_logger("recommender")

PARENTS = {"recommendations": ("user_id", "rank"), "similar_items": ("item_id", "rank")}
READERS_SECONDS = 30.0  # after it, a session idle in a transaction no longer holds up the switch
DROP_TRIES = 20
DROP_LOCK_TIMEOUT = "100ms"  # how long at most a waiting drop makes new readers wait


def table_of(parent: str, model_run_id: int) -> sql.Identifier:
    """Return the table that holds a run's part of a partitioned table."""
    return sql.Identifier(f"{parent}_{model_run_id}")


def prepare(url: str, model_run_id: int) -> None:
    """Make the run's own tables, empty, with a column for the task that wrote a row."""
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        for parent in PARENTS:
            table = table_of(parent, model_run_id)
            names = {"table": table, "parent": sql.Identifier(parent)}
            cursor.execute(
                sql.SQL(
                    "CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING COMMENTS"
                    " INCLUDING CONSTRAINTS, task integer)"
                ).format(**names)
            )
            cursor.execute(sql.SQL("CREATE INDEX ON {table} USING brin (task)").format(**names))


def write_lists(lists: DataFrame, url: str, model_run_id: int) -> int:
    """COPY the lists into the run's own table from the executors; return how many rows."""
    table = table_of("recommendations", model_run_id)

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        task = context.partitionId() if context else 0
        written = write_task(url, table, task, batches)
        yield pa.RecordBatch.from_pydict({"written": pa.array([written], pa.int64())})

    return sum(row["written"] for row in lists.mapInArrow(write, "written bigint").collect())


def write_task(
    url: str, table: sql.Identifier, task: int, batches: Iterable[pa.RecordBatch]
) -> int:
    """Write what one task has into the run's own table, in place of an earlier attempt's rows."""
    written = 0
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        # A second attempt of the task waits here for the first, then replaces what it wrote.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", (table.string, task))
        cursor.execute(sql.SQL("DELETE FROM {} WHERE task = %s").format(table), (task,))
        for batch in batches:
            written += batch.num_rows
            if batch.num_rows:
                tasks = pa.repeat(pa.scalar(task, pa.int32()), batch.num_rows)
                copy_in(cursor, table, batch.append_column("task", tasks))
    return written


def write_similar(url: str, model_run_id: int, rows: Iterable[pa.RecordBatch]) -> int:
    """COPY the similar items into the run's own table; return how many rows."""
    return write_task(url, table_of("similar_items", model_run_id), 0, rows)


def publish(
    url: str,
    model_run_id: int,
    keep: int,
    readers_seconds: float = READERS_SECONDS,
    ages: pa.Table | None = None,
) -> None:
    """Switch readers to a run whose tables are filled; keep the newest ``keep`` published runs.

    With the run comes what is popular with each age group (:mod:`recommender.ages`), if given.
    """
    _attach(url, model_run_id)
    _wait_for_readers(url, readers_seconds)
    _switch(url, model_run_id, ages)
    drop_old_runs(url, keep)


def discard(url: str, model_run_id: int) -> None:
    """Drop the tables of a run that readers are not to see, attached or not."""
    for parent in PARENTS:
        _drop(url, table_of(parent, model_run_id))
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        cursor.execute("DELETE FROM model_artifacts WHERE model_run_id = %s", (model_run_id,))


def _attach(url: str, model_run_id: int) -> None:
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        for parent, key in PARENTS.items():
            names = {
                "table": table_of(parent, model_run_id),
                "parent": sql.Identifier(parent),
                "run": sql.Literal(model_run_id),
                "key": sql.SQL(", ").join(map(sql.Identifier, ("model_run_id", *key))),
            }
            # The check lets the attachment believe, without reading, that every row fits.
            for statement in (
                "ALTER TABLE {table} DROP COLUMN task",
                "ALTER TABLE {table} ADD PRIMARY KEY ({key}),"
                " ADD CONSTRAINT fits CHECK (model_run_id IS NOT NULL AND model_run_id = {run})",
                "ANALYZE {table}",
                "ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES IN ({run})",
                "ALTER TABLE {table} DROP CONSTRAINT fits",
            ):
                cursor.execute(sql.SQL(statement).format(**names))


def _wait_for_readers(url: str, seconds: float) -> None:
    connection = connect(url, application_name=APPLICATION_NAME)
    connection.autocommit = True
    deadline = time.monotonic() + seconds
    try:
        with connection.cursor() as cursor:
            waiting = _readers(cursor)
            while waiting and time.monotonic() < deadline:
                time.sleep(0.02)
                waiting &= _readers(cursor)
    finally:
        connection.close()
    if waiting:
        log.warning(
            "switching although transactions that read the lists before are still open: "
            "they may see no lists until they end",
            pids=sorted(pid for pid, _ in waiting),
            waited_seconds=seconds,
        )


def _readers(cursor: psycopg2.extensions.cursor) -> set[tuple[int, str]]:
    cursor.execute(
        "SELECT pid, virtualtransaction FROM pg_locks"
        " WHERE locktype = 'relation' AND relation = 'recommendations'::regclass"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND pid <> pg_backend_pid()"
    )
    return {(int(pid), str(transaction_id)) for pid, transaction_id in cursor.fetchall()}


def _switch(url: str, model_run_id: int, ages: pa.Table | None) -> None:
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        if ages is not None:
            replace_ages(cursor, ages)  # before workers are held off: they need not wait for it
        show_readers(cursor, model_run_id)


def drop_old_runs(url: str, keep: int) -> None:
    """Drop all but the newest ``keep`` published runs, and what failed ones left behind.

    A run that readers hold is left for the next time; one that the running experiment shows stays.
    """
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        cursor.execute(
            "SELECT model_run_id FROM model_runs WHERE status IN ('published', 'superseded')"
            " AND model_run_id NOT IN (SELECT v.model_run_id FROM experiment_variants AS v"
            " JOIN experiments AS e ON e.name = v.experiment"
            " WHERE e.stopped_at IS NULL AND v.model_run_id IS NOT NULL)"
            " ORDER BY status = 'published' DESC, published_at DESC OFFSET %s",
            (keep,),
        )
        old = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT model_run_id FROM model_runs WHERE status IN ('failed', 'refused')")
        failed = [row[0] for row in cursor.fetchall()]
    for model_run_id in [*old, *failed]:
        dropped = [_drop(url, table_of(parent, model_run_id)) for parent in PARENTS]
        if all(dropped):
            _forget(url, model_run_id, old)


def _forget(url: str, model_run_id: int, old: Sequence[int]) -> None:
    # A failed run stays on record as long as a published one that is older than it.
    if model_run_id <= max(old, default=0):
        with transaction(url, application_name=APPLICATION_NAME) as cursor:
            cursor.execute("DELETE FROM model_runs WHERE model_run_id = %s", (model_run_id,))


def _drop(url: str, table: sql.Identifier) -> bool:
    for _ in range(DROP_TRIES):
        try:
            with transaction(url, application_name=APPLICATION_NAME) as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", (DROP_LOCK_TIMEOUT,))
                cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected):
            time.sleep(0.1)
        else:
            return True
    log.info("old run is being read: dropped at the next run", table=table.string)
    return False
