"""What tests of `encore live` share: what users do, runs that are published, workers that pause."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from psycopg2 import extensions
from psycopg2.extras import Json

from database.engine import transaction
from recommender.live.lists import ListMaker, MadeList
from recommender.live.stopping import Stop
from recommender.live.worker import Load, Pace, Worker
from recommender.publish import prepare, publish

MAY_1ST = "2026-05-01 12:00:00+00"
PACE = Pace(
    batch_users=100,
    list_items=10,
    poll_seconds=0.05,
    catalogue_seconds=300,
    patience_seconds=20,
    lock_timeout_seconds=10,
)


def execute(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement in a transaction of its own; return its rows."""
    with transaction(url) as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []


def does(
    url: str, user: str, item: str, *, signal: float = 1.0, dislikes: int = 0, at: str = MAY_1ST
) -> None:
    """Count what a user did, and queue the user, in one transaction as the stream does."""
    with transaction(url) as cursor:
        cursor.execute(
            "INSERT INTO user_item_affinity AS t "
            "(user_id, item_id, signal, dislikes, first_at, last_at) VALUES (%s, %s, %s, %s, %s, "
            "%s) ON CONFLICT (user_id, item_id) DO UPDATE SET signal = t.signal + excluded.signal, "
            "dislikes = t.dislikes + excluded.dislikes, last_at = excluded.last_at",
            (user, item, signal, dislikes, at, at),
        )
        queue(cursor, [user])


def queue(cursor: extensions.cursor, users: Sequence[str], *, bulk: bool = False) -> None:
    """Queue users, whether a worker is registered or not."""
    cursor.execute(
        "INSERT INTO live_queue (user_id, bucket, bulk) "
        "SELECT u, live_bucket(u), %s FROM unnest(%s) AS u",
        (bulk, list(users)),
    )


def register_someone(url: str) -> None:
    """Register a worker that does nothing: who registers now queues nobody."""
    execute(url, "INSERT INTO live_workers (worker, caught_up) VALUES (gen_random_uuid(), true)")


def queued(url: str) -> list[str]:
    """Return who is queued, as often as they are."""
    return [row[0] for row in execute(url, "SELECT user_id FROM live_queue ORDER BY 1")]


def make_run(url: str, **parameters: Any) -> int:
    """Make a run of a model, whose data end on May 1st and which nobody sees yet."""
    ((run,),) = execute(
        url,
        "INSERT INTO model_runs (algorithm, status, parameters, data_to) "
        "VALUES ('als', 'running', %s, %s) RETURNING model_run_id",
        Json(parameters),
        MAY_1ST,
    )
    prepare(url, run)
    return int(run)


def publish_run(url: str) -> int:
    """Make a run and switch readers to it."""
    run = make_run(url)
    publish(url, run, keep=5)
    return run


def list_of(url: str, user: str) -> list[str]:
    """Return the items that readers of the published lists see."""
    rows = execute(
        url, "SELECT item_id FROM current_recommendations WHERE user_id = %s ORDER BY rank", user
    )
    return [row[0] for row in rows]


@dataclass
class Telling:
    """A model whose list tells which run made it from how many known items.

    ``at_work`` is called once the items are read, with the users of the batch.
    """

    model_run_id: int
    at_work: Callable[[Sequence[str]], None] = lambda _: None

    def lists(
        self, cursor: extensions.cursor, user_ids: Sequence[str], n: int
    ) -> Iterator[MadeList]:
        """Yield a list of one item for each user who has done anything."""
        assert n == PACE.list_items
        cursor.execute(
            "SELECT user_id, count(*) FROM user_item_affinity WHERE user_id = ANY (%s) "
            "GROUP BY user_id",
            (list(user_ids),),
        )
        known = cursor.fetchall()
        self.at_work(user_ids)
        for user, count in known:
            yield MadeList(
                user, [told(self.model_run_id, count)], [1.0], ["personal"], ['so "they" say\\']
            )


def told(run: int, known: int) -> str:
    """Return the item that :class:`Telling` recommends."""
    return f"by run {run} from {known}"


def telling(at_work: Callable[[Sequence[str]], None] = lambda _: None) -> Load:
    """Return what loads a :class:`Telling` model of the published run."""

    def load(cursor: extensions.cursor) -> ListMaker | None:
        cursor.execute("SELECT model_run_id FROM published_run")
        rows = cursor.fetchall()
        return Telling(rows[0][0], at_work) if rows else None

    return load


def work_off(url: str, load: Load | None = None, pace: Pace = PACE) -> None:
    """Let a worker work until nobody is queued."""
    with closing(Stop()) as stop:
        Worker(url, load or telling(), pace, stop).run(once=True)


@dataclass
class Working:
    """A worker in a thread, from ``with`` to its end; an error of it fails the test."""

    url: str
    load: Load = field(default_factory=telling)
    pace: Pace = PACE
    stop: Stop = field(default_factory=Stop)

    def __enter__(self) -> "Working":
        """Start it."""
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.stop.request()
        self._thread.join(60)
        self.stop.close()
        assert not self._thread.is_alive(), "the worker does not end"
        assert self._failure is None, self._failure

    def _run(self) -> None:
        try:
            Worker(self.url, self.load, self.pace, self.stop).run()
        except BaseException as error:
            self._failure = error


@dataclass
class Pause:
    """Holds the first batch that comes to it, until it is let go."""

    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self, _: Sequence[str]) -> None:
        """Wait."""
        self.reached.set()
        assert self.go_on.wait(60), "nobody let the batch go on"

    def wait(self) -> None:
        """Wait until a batch is held."""
        assert self.reached.wait(60), "no batch came"


def wait_until(condition: Callable[[], bool], what: str, *, timeout: float = 60) -> None:
    """Wait for a condition; fail when it does not come."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s until {what}"
        time.sleep(0.01)


def waits_for_lock(url: str, table: str) -> bool:
    """Tell whether anyone waits for a lock on a table."""
    rows = execute(
        url,
        "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = %s::regclass AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())",
        table,
    )
    return bool(rows)


def waits(url: str, application_name: str) -> bool:
    """Tell whether an application waits for a lock of any kind."""
    rows = execute(
        url,
        "SELECT 1 FROM pg_stat_activity WHERE application_name = %s "
        "AND datname = current_database() AND wait_event_type = 'Lock'",
        application_name,
    )
    return bool(rows)


def end_sessions(url: str, application_name: str) -> int:
    """Cut the connections of an application; return how many there were."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database()",
            (application_name,),
        )
        ((ended,),) = cursor.fetchall()
    return int(ended)
