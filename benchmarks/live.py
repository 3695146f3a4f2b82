"""``encore live``: how many listeners it folds in, and how soon a changed list can be read."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
from psycopg2 import extensions
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from benchmarks.backlog import Bench, empty_tables, running
from benchmarks.crowd import Crowd, fill
from benchmarks.freshness import delays, fresh_topics
from benchmarks.measure import Figure, compare, rate, single, take_turns
from database.engine import connect, transaction
from encore.settings import Settings, TrainEngine, load_settings
from recommender import job
from recommender.bundle import Bundle
from recommender.dataset import open_snapshot
from recommender.live.folded import FoldedLists
from recommender.live.job import loader, pace_of
from recommender.live.listeners import Listeners
from recommender.live.queue import register
from recommender.live.stopping import Stop
from recommender.live.worker import Worker

_CROWD = Crowd(users=20_000, items=20_000, pairs=700_000)
_USERS = 5_000
_CAUGHT_UP_SECONDS = 300.0
_FEATURE = "SELECT user_id FROM user_counts_day WHERE user_id = ANY (%s)"
_LIST = "SELECT user_id FROM live_recommendations WHERE user_id = ANY (%s) AND item_ids <> '{}'"


def bench_fold_in(bench: Bench, crowd: Crowd = _CROWD, repeats: int = 3) -> list[Figure]:
    """Measure a worker over a filled queue against bare solves and top-k of the same users."""
    settings = _published(bench, crowd)
    count = min(_USERS, crowd.users)
    stop = Stop()
    worker = Worker(bench.database, loader(settings), pace_of(settings), stop)
    maker, listeners = _listeners(bench, settings, count)
    with closing(connect(bench.database)) as connection:
        register(connection, worker.name)
    with transaction(bench.database) as cursor:
        cursor.execute("TRUNCATE live_queue")  # everybody was queued: nobody had been registered

    def ours() -> float:
        _queue(bench, listeners.user_ids)
        return rate(count, lambda: worker.run(once=True))

    def bare() -> float:
        with threadpool_limits(1):
            return rate(count, lambda: bare_lists(maker.bundle, listeners, 50))

    found = take_turns({"bare": bare, "ours": ours}, repeats=repeats)
    stop.close()
    with _live(bench), _live(bench), closing(connect(bench.database)) as reader:
        reader.autocommit = True

        def theirs() -> float:
            _queue(bench, listeners.user_ids)
            return rate(count, lambda: _wait_until(lambda: _caught_up(reader)))

        shared = take_turns({"bare": bare, "ours": theirs}, repeats=repeats)
    against = "bare LAPACK solves and top 50 of the same users in memory"
    return [
        compare("fold-in", against, found["ours"], found["bare"], unit="users/s", target=">= 0.3"),
        compare("fold-in, 2 workers", f"{against}, in one process", shared["ours"], shared["bare"],
                unit="users/s"),
    ]  # fmt: skip


def bench_live_freshness(bench: Bench, per_second: int = 500, probes: int = 100) -> list[Figure]:
    """Measure from sending an event to reading the list it changed, and the feature it changed."""
    settings = load_settings(kafka_topic_prefix="bench-live")
    topics = fresh_topics(bench, "bench-live")
    empty_tables(bench)
    _published(bench, _CROWD)
    reader = connect(bench.database, application_name="encore-bench")
    reader.autocommit = True
    with running(bench, settings) as stream, _live(bench):
        stream.start(available_now=False)
        try:
            found = delays(
                bench,
                topics,
                per_second,
                probes,
                {"feature": _those(reader, _FEATURE), "list": _those(reader, _LIST)},
            )
        finally:
            reader.close()
    bound = 1.5 * found["feature"].p95 + settings.stream_trigger_seconds
    ours = found["list"]
    against = "p95 of event to feature x 1.5 + trigger"
    return [
        single(f"list p95 at {per_second}/s", against, "s", ours.p95, bound, "<= 1"),
        single(f"list p50 at {per_second}/s", "p50 of event to feature", "s", ours.p50,
               found["feature"].p50),
    ]  # fmt: skip


def bare_lists(bundle: Bundle, listeners: Listeners, k: int) -> None:
    """Solve each listener's factors and find their best, in NumPy and LAPACK and nothing else."""
    half_step, weights = bundle.half_step, listeners.weights
    items = half_step.factors.astype(np.float64)
    for start in range(0, weights.shape[0], 512):
        rows = range(start, min(start + 512, weights.shape[0]))
        factors = np.zeros((len(rows), items.shape[1]), np.float32)
        for at, row in enumerate(rows):
            mine = items[weights.indices[weights.indptr[row] : weights.indptr[row + 1]]]
            extra = half_step.alpha * weights.data[weights.indptr[row] : weights.indptr[row + 1]]
            left = half_step.gram + mine.T @ (extra[:, None] * mine)
            left[np.diag_indices_from(left)] += half_step.regularization
            _, factors[at], _ = lapack.dposv(left, mine.T @ (1.0 + extra))
        scores = factors @ half_step.factors.T
        for at, row in enumerate(rows):
            scores[at, listeners.known[row]] = -np.inf
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        values = np.take_along_axis(scores, best, axis=1)
        np.take_along_axis(best, np.argsort(-values, axis=1), axis=1)


def _published(bench: Bench, crowd: Crowd) -> Settings:
    """Fill the tables and publish a model of them."""
    fill(bench.database, crowd)
    settings = load_settings(train_engine=TrainEngine.IMPLICIT)
    job.run(bench.database, settings, seed=1, force=True)
    return settings


def _listeners(bench: Bench, settings: Settings, count: int) -> tuple[FoldedLists, Listeners]:
    with open_snapshot(bench.database) as snapshot:
        maker = loader(settings)(snapshot.cursor)
        if not isinstance(maker, FoldedLists):
            raise TypeError("no model is published")
        users = [f"u{one}" for one in range(1, count + 1)]
        return maker, maker.listeners(snapshot.cursor, users)


def _queue(bench: Bench, users: Sequence[str]) -> None:
    with transaction(bench.database) as cursor:
        cursor.execute(
            "INSERT INTO live_queue (user_id, bucket) SELECT u, live_bucket(u) "
            "FROM unnest(%s) AS u",
            (list(users),),
        )


@contextmanager
def _live(bench: Bench) -> Iterator[None]:
    """Run a worker as a process of its own, and wait until it has made everyone's first list."""
    command = [sys.executable, "-m", "encore", "live"]
    env = {**os.environ, "DATABASE_URL": bench.database, "LOG_LEVEL": "error"}
    process = subprocess.Popen(command, env=env)
    try:
        with closing(connect(bench.database)) as reader:
            reader.autocommit = True
            _wait_until(lambda: _caught_up(reader))
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _caught_up(reader: extensions.connection) -> bool:
    with reader.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM live_workers WHERE caught_up)"
            " AND NOT EXISTS (SELECT FROM live_queue)"
        )
        return bool(cursor.fetchall()[0][0])


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _CAUGHT_UP_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"encore live did not catch up in {_CAUGHT_UP_SECONDS:g} s")
        time.sleep(0.02)


def _those(reader: extensions.connection, query: str) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return what finds out which of the users a query knows of."""

    def those(users: Sequence[str]) -> Sequence[str]:
        if not users:
            return []
        with reader.cursor() as cursor:
            cursor.execute(query, (list(users),))
            return [row[0] for row in cursor.fetchall()]

    return those
