"""Who is queued for a new list, when, and what registering a worker has to do with it."""

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import psycopg2
import pyarrow as pa
import pytest

from database.engine import transaction
from database.migrate import upgrade
from encore.settings import load_settings
from recommender.live.queue import CHANNEL, register, stay_registered, take
from streaming import shadow
from streaming.features.catalogue import QUEUE_FOR_LIVE_LISTS, HalfLives, feature_targets
from streaming.features.signal import LISTENING
from streaming.features.times import instants
from streaming.sink.merge import Target
from streaming.sink.postgres import PostgresSink, StagedBatch
from streaming.sink.progress import Tally
from tests.live import does, execute, queue, queued, register_someone, wait_until, waits_for_lock

pytestmark = pytest.mark.services

NOON_US = round(datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp() * 1_000_000)
LAST_SEEN = "UPDATE live_workers SET seen_at = now() - %s::interval"


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url)
    return database_url


@pytest.fixture
def sink(url: str) -> Iterator[PostgresSink]:
    made = make_sink(url)
    made.open()
    yield made
    made.close()


def make_sink(url: str) -> PostgresSink:
    return PostgresSink(
        url, "m.events", "id-1", [affinity()], lock_timeout_ms=5_000, hook=lambda _: None
    )


def affinity() -> Target:
    targets = feature_targets(HalfLives.of(load_settings()))
    return next(one for one in targets if one.name == "user_item_affinity")


def count(sink: PostgresSink, offset: int, *tasks: Sequence[tuple[str, str]]) -> None:
    """Count a batch, in which each task found some users with some items."""
    sink.empty(0)
    attempts = [offset * 10 + number for number in range(len(tasks))]
    for attempt, pairs in zip(attempts, tasks, strict=True):
        with sink.areas[0].writer(attempt) as writer:
            writer.copy("user_item_affinity", rows(pairs))
    read = sum(map(len, tasks))
    begins = sink.recorded()
    tally = Tally(0, read, 0, 0, 0, 1)
    ends = {0: begins.get(0, 0) + read}
    sink.merge(offset, StagedBatch(0, begins, ends, attempts, [tally]))


def rows(pairs: Sequence[tuple[str, str]]) -> pa.Table:
    counts: Mapping[str, pa.Array] = {
        name: pa.array([0] * len(pairs), pa.int64()) for name in LISTENING
    }
    at = instants(np.full(len(pairs), NOON_US))
    return pa.table(
        {
            "user_id": [user for user, _ in pairs],
            "item_id": [item for _, item in pairs],
            "signal": [1.0] * len(pairs),
            **counts,
            "first_at": at,
            "last_at": at,
        }
    )


def test_nobody_is_queued_while_no_worker_is_registered(sink: PostgresSink, url: str) -> None:
    count(sink, 1, [("ada", "t1")])
    register_someone(url)
    execute(url, LAST_SEEN, "61 minutes")
    count(sink, 2, [("ada", "t2")])
    assert queued(url) == []


def test_each_user_of_a_batch_is_queued_once_and_workers_are_woken_once(
    sink: PostgresSink, url: str
) -> None:
    register_someone(url)
    with closing(psycopg2.connect(url)) as listening, listening.cursor() as cursor:
        listening.autocommit = True
        cursor.execute(f"LISTEN {CHANNEL}")
        count(sink, 1, [("ada", "t1"), ("ada", "t2"), ("bob", "t1")], [("ada", "t3")])
        cursor.execute("SELECT 1")
        assert [one.channel for one in listening.notifies] == [CHANNEL]
        listening.notifies.clear()
        count(sink, 2, [])
        cursor.execute("SELECT 1")
        assert listening.notifies == []
    assert queued(url) == ["ada", "bob"]
    assert execute(
        url, "SELECT bool_and(bucket = live_bucket(user_id)), bool_or(bulk) FROM live_queue"
    ) == [(True, False)]


def test_what_is_rolled_back_queues_nobody(url: str) -> None:
    register_someone(url)
    with transaction(url) as cursor:
        cursor.execute("CREATE TEMP TABLE staged AS SELECT 'ada' AS user_id")
        cursor.execute(QUEUE_FOR_LIVE_LISTS.format(rows="FROM staged"))
        cursor.connection.rollback()
    assert queued(url) == []


def test_a_rebuild_of_the_affinities_queues_nobody(url: str) -> None:
    register_someone(url)
    with transaction(url) as cursor:
        shadow.create(cursor, ["user_item_affinity"])
    with closing(make_sink(shadow.shadow_url(url))) as rebuilding:
        rebuilding.open()
        count(rebuilding, 1, [("ada", "t1")])
    assert execute(url, "SELECT count(*) FROM rebuild.user_item_affinity") == [(1,)]
    assert queued(url) == []


def test_whoever_registers_after_a_time_without_workers_queues_everybody_once(url: str) -> None:
    does(url, "ada", "t1")
    does(url, "ada", "t2")
    does(url, "bob", "t1")
    execute(url, "DELETE FROM live_queue")
    with closing(psycopg2.connect(url)) as connection:
        assert register(connection, uuid.uuid4()) == 2
        assert execute(url, "SELECT user_id, bulk FROM live_queue ORDER BY 1") == [
            ("ada", True),
            ("bob", True),
        ]
        assert register(connection, uuid.uuid4()) == 0
        execute(url, LAST_SEEN, "31 minutes")
        assert register(connection, uuid.uuid4()) == 2


def test_a_worker_that_died_before_everybody_was_queued_leaves_it_to_the_next(url: str) -> None:
    does(url, "ada", "t1")
    execute(url, "DELETE FROM live_queue")
    execute(url, "INSERT INTO live_workers (worker, caught_up) VALUES (gen_random_uuid(), false)")
    with closing(psycopg2.connect(url)) as connection:
        assert register(connection, uuid.uuid4()) == 1


def test_a_worker_that_was_not_seen_for_long_has_to_register_anew(url: str) -> None:
    worker = uuid.uuid4()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        assert not stay_registered(cursor, worker)
        connection.commit()
        register(connection, worker)
        execute(url, LAST_SEEN, "29 minutes")
        assert stay_registered(cursor, worker)
        connection.commit()
        assert execute(url, "SELECT now() - seen_at < '1 minute' FROM live_workers") == [(True,)]
        execute(url, LAST_SEEN, "31 minutes")
        assert not stay_registered(cursor, worker)
        connection.commit()
        assert register(connection, worker) == 0
        assert execute(url, "SELECT count(*) FROM live_workers WHERE caught_up") == [(1,)]


def test_a_batch_that_looked_for_workers_before_one_registered_is_waited_for(url: str) -> None:
    with closing(psycopg2.connect(url)) as merging, merging.cursor() as merge:
        merge.execute("CREATE TEMP TABLE staged AS SELECT 'ada' AS user_id")
        merge.execute(
            "INSERT INTO user_item_affinity (user_id, item_id, signal, first_at, last_at) "
            "VALUES ('ada', 't1', 1, now(), now())"
        )
        merge.execute(QUEUE_FOR_LIVE_LISTS.format(rows="FROM staged"))
        with closing(psycopg2.connect(url)) as connection:
            registering = threading.Thread(target=register, args=(connection, uuid.uuid4()))
            registering.start()
            wait_until(lambda: waits_for_lock(url, "live_queue"), "the merge is waited for")
            merging.commit()
            registering.join(60)
    assert queued(url) == ["ada"]


def test_who_just_did_something_is_taken_before_a_backlog(url: str) -> None:
    execute(
        url,
        "INSERT INTO live_queue (user_id, bucket, bulk) SELECT 'user-' || n, n %% 64, true "
        "FROM generate_series(1, 2000) AS n",
    )
    execute(url, "INSERT INTO live_queue (user_id, bucket) VALUES ('ada', 7)")
    with transaction(url) as cursor:
        # The index would give the order by chance.
        cursor.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")
        taken = take(cursor, 50)
    assert (len(taken), "ada" in taken) == (50, True)
    assert len(queued(url)) == 1951


def test_a_user_who_is_queued_often_is_one_of_a_batch(url: str) -> None:
    with transaction(url) as cursor:
        queue(cursor, ["ada", "ada", "ada"])
    with transaction(url) as cursor:
        assert take(cursor, 50) == ["ada"]
    assert queued(url) == []
