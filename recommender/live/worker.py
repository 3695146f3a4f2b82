"""The worker: takes users from the queue and makes their lists anew, batch after batch.

One batch is one transaction: lock buckets, take users, hold the published run, read what the
users gave items, make the lists, write them, commit. Whatever ends it before the commit leaves
the users in the queue.

A worker has a batch under way in each of its lanes: while one waits for PostgreSQL, another solves.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from uuid import UUID, uuid4

import psycopg2
from psycopg2 import errors, extensions
from threadpoolctl import threadpool_limits

from database.engine import TRANSIENT, connect
from encore.errors import ServiceUnavailableError
from encore.log import get_logger
from encore.stack.endpoints import redact_url
from recommender.live.lists import NO_RUN, ListMaker, MadeList, write
from recommender.live.queue import (
    CHANNEL,
    hold_published_run,
    published_run_id,
    register,
    stay_registered,
    take,
)
from recommender.live.stopping import Stop

log = get_logger("live")

APPLICATION_NAME = "encore live"
_SAY_SO_SECONDS = 60.0  # how often a worker says that it works
_RETRY_SECONDS = 1.0
_MAY_PASS = (*TRANSIENT, ServiceUnavailableError, errors.IdleInTransactionSessionTimeout)

Load = Callable[[extensions.cursor], ListMaker | None]
Forget = Callable[[Iterable[str]], object]


@dataclass(frozen=True)
class Pace:
    """How much a worker takes at once in each of its lanes, and how long it waits for what.

    After ``catalogue_seconds`` it loads the model anew, with the items that came since.
    """

    batch_users: int
    list_items: int
    poll_seconds: float
    catalogue_seconds: float
    patience_seconds: float
    lock_timeout_seconds: float
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A published run and what makes lists by it, None where it has no model; used until then."""

    run: int | None
    maker: ListMaker | None
    until: float


@dataclass
class Worker:
    """One worker; run as many as there are cores to spare, in processes of their own.

    ``load`` returns the published model, or None where there is none. ``forget`` is told whose
    lists were committed, and nobody now and then, to make up for what it could not do.
    """

    url: str = field(repr=False)
    load: Load
    pace: Pace
    stop: Stop
    forget: Forget = lambda _: None
    name: UUID = field(default_factory=uuid4)
    _loaded: _Loaded | None = field(default=None, init=False)
    _failing_since: float | None = field(default=None, init=False)
    _say_so_at: float = field(default=0.0, init=False)
    _saying: Lock = field(default_factory=Lock, init=False)
    _loading: Lock = field(default_factory=Lock, init=False)

    def run(self, *, once: bool = False) -> None:
        """Work until it is requested to stop, with ``once`` until nobody is queued.

        Raises:
            ServiceUnavailableError: PostgreSQL was away for longer than the patience lasts.
        """
        # One small solve after another: threads of BLAS only get in the way of the lanes.
        with threadpool_limits(1), ThreadPoolExecutor(self.pace.lanes) as threads:
            lanes = [threads.submit(self._lane, once=once) for _ in range(self.pace.lanes)]
            for lane in as_completed(lanes):
                if lane.exception() is not None:
                    self.stop.request()
        for lane in lanes:
            lane.result()

    def _lane(self, *, once: bool) -> None:
        while True:
            try:
                self._work(once=once)
            except _MAY_PASS as error:
                self._put_off(error)
            else:
                return
            if self.stop.requested:
                return

    def _work(self, *, once: bool) -> None:
        """Work on one connection."""
        connection = connect(self.url, application_name=APPLICATION_NAME)
        try:
            self._begin(connection)
            while not self.stop.requested:
                connection.notifies.clear()
                while not self.stop.requested and self._batch(connection):
                    self._well(connection)
                self._well(connection)
                if once:
                    return
                self.stop.wait(self.pace.poll_seconds, connection)
        finally:
            with suppress(psycopg2.Error):
                connection.close()

    def _begin(self, connection: extensions.connection) -> None:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, false)",
                (f"{round(self.pace.lock_timeout_seconds * 1000)}ms",),
            )
            cursor.execute(f"LISTEN {CHANNEL}")
        self._say_so_at = 0.0
        self._well(connection)

    def _well(self, connection: extensions.connection) -> None:
        """Note that all is well, and say so in the database now and then."""
        self._failing_since = None
        with self._saying:
            self.forget(())
            now = time.monotonic()
            if now < self._say_so_at:
                return
            with connection, connection.cursor() as cursor:
                registered = stay_registered(cursor, self.name)
            if not registered:
                queued = register(connection, self.name)
                log.info("registered", worker=str(self.name), queued=queued)
            self._say_so_at = now + _SAY_SO_SECONDS

    def _put_off(self, error: BaseException) -> None:
        because = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now >= self._failing_since + self.pace.patience_seconds:
            raise ServiceUnavailableError(
                f"PostgreSQL at {redact_url(self.url)} was away for "
                f"{self.pace.patience_seconds:g} s (STREAM_PATIENCE_SECONDS): {because}. Who is "
                "queued stays that; start PostgreSQL, then `encore live` again."
            ) from None
        log.warning("put off", because=because)
        self.stop.wait(_RETRY_SECONDS)

    def _batch(self, connection: extensions.connection) -> bool:
        """Make the lists of one batch; return whether there may be another."""
        began = time.monotonic()
        loaded = self._newest(connection)
        with connection, connection.cursor() as cursor:
            user_ids = take(cursor, self.pace.batch_users)
            if not user_ids:
                return False
            if hold_published_run(cursor) != loaded.run:
                connection.rollback()  # they stay queued, for the new run's model
                return True
            lists = self._lists(cursor, loaded.maker, user_ids)
            write(cursor, NO_RUN if loaded.maker is None else loaded.maker.model_run_id, lists)
        with self._saying:
            self.forget(user_ids)  # now that readers see the new ones
        log.info(
            "lists made",
            users=len(lists),
            personal=sum(1 for one in lists if one.item_ids),
            model_run_id=loaded.run,
            ms=round((time.monotonic() - began) * 1000),
        )
        return True

    def _newest(self, connection: extensions.connection) -> _Loaded:
        """Return the published run, loaded; it may be another one by the time it is used."""
        with self._loading, connection, connection.cursor() as cursor:
            run = published_run_id(cursor)
            began = time.monotonic()
            if self._loaded is None or self._loaded.run != run or began > self._loaded.until:
                maker = self.load(cursor)
                until = began + self.pace.catalogue_seconds
                self._loaded = _Loaded(run if maker is None else maker.model_run_id, maker, until)
                log.info(
                    "model loaded" if maker else "no model to make lists by",
                    model_run_id=self._loaded.run,
                    ms=round((time.monotonic() - began) * 1000),
                )
        return self._loaded

    def _lists(
        self, cursor: extensions.cursor, maker: ListMaker | None, user_ids: Sequence[str]
    ) -> list[MadeList]:
        """Return a list for every user, empty for those of whom nothing positive is known.

        An empty one stands for something as well: what is known as of now has been looked at,
        and the list of a run that knew less does not count any more.
        """
        made = maker.lists(cursor, user_ids, self.pace.list_items) if maker is not None else ()
        by_user = {one.user_id: one for one in made}
        return [by_user.get(one, MadeList(one, (), (), (), ())) for one in user_ids]
