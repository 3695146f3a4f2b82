"""Workers of `encore live`: together, killed, cut off, and while the published run switches."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import errors, extensions
from structlog.testing import capture_logs

from database.engine import transaction
from database.migrate import upgrade
from encore.errors import ServiceUnavailableError
from encore.stack.process import free_port
from recommender.live import queue as live_queue
from recommender.live import worker as live_worker
from recommender.live.lists import ListMaker
from recommender.live.queue import hold_published_run, take
from recommender.live.stopping import Stop
from recommender.live.worker import APPLICATION_NAME, Load, Worker
from recommender.publish import publish
from recommender.runs import APPLICATION_NAME as TRAINING
from tests.live import (
    PACE,
    Pause,
    Telling,
    Working,
    does,
    end_sessions,
    execute,
    list_of,
    make_run,
    publish_run,
    queue,
    queued,
    register_someone,
    telling,
    told,
    wait_until,
    waits,
    work_off,
)
from tests.programs import running

pytestmark = pytest.mark.services

USERS = [f"user-{number}" for number in range(1000)]
MADE = "SELECT count(*) FROM live_recommendations WHERE item_ids = %s"
# Dies in the middle of its first batch, its lists half made.
DIES = """
import os, signal, sys
from recommender.live.stopping import Stop
from recommender.live.worker import Worker
from tests.live import PACE, telling
Worker(
    sys.argv[1], telling(lambda _: os.kill(os.getpid(), signal.SIGKILL)), PACE, Stop()
).run(once=True)
"""


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url)
    register_someone(database_url)
    return database_url


def everybody_does_something(url: str) -> None:
    with transaction(url) as cursor:
        cursor.execute(
            "INSERT INTO user_item_affinity (user_id, item_id, signal, first_at, last_at) "
            "SELECT u, 't1', 1, now(), now() FROM unnest(%s) AS u",
            (USERS,),
        )
        queue(cursor, USERS)


def shows(url: str, items: list[str]) -> bool:
    return list_of(url, "ada") == items


# --- what a batch does --------------------------------------------------------------------


def test_readers_see_the_new_list_with_all_it_holds(url: str) -> None:
    run = publish_run(url)
    does(url, "ada", "t1")
    work_off(url)
    row = (run, "ada", 1, told(run, 1), 1.0, "personal", 'so "they" say\\')
    assert execute(url, "SELECT * FROM current_recommendations") == [row]
    assert execute(url, "SELECT * FROM recommendations_for('ada', 5)") == [row[2:]]
    assert queued(url) == []


def test_a_list_follows_what_the_user_does(url: str) -> None:
    run = publish_run(url)
    with Working(url):
        for count in (1, 2, 3):
            does(url, "ada", f"t{count}")
            expected = [told(run, count)]
            wait_until(partial(shows, url, expected), f"{count} are known")


def test_a_notification_wakes_a_worker_that_would_sleep_for_long(url: str) -> None:
    run = publish_run(url)
    with capture_logs() as logged, Working(url, pace=replace(PACE, poll_seconds=600)):
        wait_until(lambda: any(one["event"] == "model loaded" for one in logged), "it waits")
        does(url, "ada", "t1")
        execute(url, "NOTIFY encore_live")
        wait_until(lambda: list_of(url, "ada") == [told(run, 1)], "it is woken")


def test_without_a_model_the_queue_is_worked_off_and_the_runs_lists_stay(url: str) -> None:
    run = make_run(url)
    does(url, "ada", "t1")  # the first run has read its data before
    work_off(url, load=lambda _: None)
    assert queued(url) == []
    assert execute(url, "SELECT model_run_id, item_ids FROM live_recommendations") == [(0, [])]
    publish(url, run, keep=5)
    assert queued(url) == ["ada"]
    work_off(url)
    assert list_of(url, "ada") == [told(run, 1)]


def test_a_list_that_became_empty_takes_the_place_of_the_runs(url: str) -> None:
    run = make_run(url)
    execute(
        url,
        f"INSERT INTO recommendations_{run} VALUES (%s, 'ada', 1, 't9', 1, 'personal', 'why')",
        run,
    )
    publish(url, run, keep=5)
    assert list_of(url, "ada") == ["t9"]
    with transaction(url) as cursor:
        queue(cursor, ["ada"])  # of whom nothing positive is known any more
    work_off(url)
    assert list_of(url, "ada") == []
    assert execute(url, "SELECT count(*) FROM recommendations_for('ada', 5)") == [(0,)]


# --- several of them ----------------------------------------------------------------------


def test_two_workers_share_the_users_and_lose_none(url: str) -> None:
    run = publish_run(url)
    everybody_does_something(url)
    both = threading.Barrier(2)
    worked: dict[str, list[str]] = {}

    def load_for(name: str) -> Load:
        def at_work(users: Sequence[str]) -> None:
            if name not in worked:
                both.wait(60)  # each has a batch in hand at the same time
            worked.setdefault(name, []).extend(users)

        return telling(at_work)

    with Working(url, load_for("one")), Working(url, load_for("other")):
        wait_until(lambda: queued(url) == [], "all are worked off")
    assert sorted(worked["one"] + worked["other"]) == sorted(USERS)
    assert execute(url, MADE, [told(run, 1)]) == [(len(USERS),)]


def test_a_user_in_hand_is_no_other_workers_until_the_list_is_written(url: str) -> None:
    run = publish_run(url)
    does(url, "ada", "t1")
    pause = Pause()
    with Working(url, telling(pause)):
        pause.wait()  # its batch read one item, and writes a list of one
        does(url, "ada", "t2")
        work_off(url)
        assert (queued(url), list_of(url, "ada")) == (["ada", "ada"], [])
        pause.go_on.set()
        wait_until(lambda: list_of(url, "ada") == [told(run, 2)], "the newest is in it")
    assert queued(url) == []


def test_a_worker_that_is_killed_in_mid_batch_leaves_everybody_queued(url: str) -> None:
    run = publish_run(url)
    everybody_does_something(url)
    died = subprocess.run(
        [sys.executable, "-c", DIES, url],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(queued(url)) == len(USERS)
    assert execute(url, "SELECT count(*) FROM live_recommendations") == [(0,)]
    work_off(url)
    assert execute(url, MADE, [told(run, 1)]) == [(len(USERS),)]


# --- while the published run switches -----------------------------------------------------


def test_a_switch_waits_for_the_batch_in_hand_and_its_users_get_the_new_runs_lists(
    url: str,
) -> None:
    publish_run(url)
    new = make_run(url)
    does(url, "ada", "t1")
    pause = Pause()
    with Working(url, telling(pause)):
        pause.wait()
        switching = threading.Thread(target=publish, args=(url, new), kwargs={"keep": 5})
        switching.start()
        wait_until(lambda: waits(url, TRAINING), "the switch waits")
        pause.go_on.set()
        switching.join(60)
        assert execute(url, "SELECT model_run_id FROM published_run") == [(new,)]
        wait_until(lambda: list_of(url, "ada") == [told(new, 1)], "the new run's list is there")


def test_what_a_user_did_while_a_run_was_made_is_in_the_new_runs_list(url: str) -> None:
    publish_run(url)
    does(url, "early", "t1")
    work_off(url)
    new = make_run(url)  # its data are read; what comes now is not among them
    does(url, "late", "t1")
    work_off(url)
    publish(url, new, keep=5)
    assert queued(url) == ["late"]
    work_off(url)
    assert list_of(url, "late") == [told(new, 1)]
    assert list_of(url, "early") == []  # the run's own list counts, and this one has none


def test_what_a_batch_read_after_a_run_had_started_is_known_not_to_be_in_the_run(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_run(url)
    runs: list[int] = []

    def late(cursor: extensions.cursor, most: int) -> list[str]:
        if not runs:
            cursor.execute("SELECT now()")  # the transaction began before the run did
            runs.append(make_run(url))
            does(url, "ada", "t1")
        return take(cursor, most)

    monkeypatch.setattr(live_worker, "take", late)
    work_off(url)
    publish(url, runs[0], keep=5)
    assert queued(url) == ["ada"]


def test_a_run_that_is_published_between_loading_and_taking_makes_the_lists(url: str) -> None:
    publish_run(url)
    new = make_run(url)
    does(url, "ada", "t1")
    loaded: list[int] = []

    def load(cursor: extensions.cursor) -> ListMaker | None:
        cursor.execute("SELECT model_run_id FROM published_run")
        ((run,),) = cursor.fetchall()
        cursor.connection.commit()
        if not loaded:
            publish(url, new, keep=5)
        loaded.append(run)
        return Telling(run)

    work_off(url, load)
    assert list_of(url, "ada") == [told(new, 1)]
    assert loaded[-1] == new


def test_workers_that_follow_each_other_without_a_break_do_not_keep_a_switch_waiting(
    url: str,
) -> None:
    publish_run(url)
    new = make_run(url)
    with closing(psycopg2.connect(url)) as first, closing(psycopg2.connect(url)) as next_one:
        hold_published_run(first.cursor())
        switching = threading.Thread(target=publish, args=(url, new), kwargs={"keep": 5})
        switching.start()
        wait_until(lambda: waits(url, TRAINING), "the switch waits")
        with next_one.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
            with pytest.raises(errors.LockNotAvailable):
                hold_published_run(cursor)
        first.commit()
        switching.join(60)
    assert execute(url, "SELECT model_run_id FROM published_run") == [(new,)]


# --- lanes --------------------------------------------------------------------------------


def test_while_one_lane_is_busy_another_serves_who_comes_then(url: str) -> None:
    run = publish_run(url)
    pause = Pause()

    def only_ada_waits(user_ids: Sequence[str]) -> None:
        if "ada" in user_ids:
            pause(user_ids)

    with Working(url, telling(only_ada_waits), pace=replace(PACE, lanes=2)):
        does(url, "ada", "t1")
        pause.wait()
        does(url, of_another_bucket(url, "ada"), "t1")
        served = [(of_another_bucket(url, "ada"), [told(run, 1)])]
        made = partial(execute, url, "SELECT user_id, item_ids FROM live_recommendations")
        wait_until(lambda: made() == served, "the other one's list is made")
        pause.go_on.set()
        wait_until(lambda: list_of(url, "ada") == [told(run, 1)], "the busy lane ends its batch")


def test_lanes_load_one_model_and_queue_everybody_once(url: str) -> None:
    run = publish_run(url)
    everybody_does_something(url)
    execute(url, "TRUNCATE live_queue, live_workers")
    with capture_logs() as logged:
        work_off(url, pace=replace(PACE, lanes=3))
    said = [one["event"] for one in logged]
    assert said.count("model loaded") == 1
    assert [one["queued"] for one in logged if one["event"] == "registered"] == [1000]
    assert sum(one["users"] for one in logged if one["event"] == "lists made") == 1000
    assert execute(url, MADE, [told(run, 1)]) == [(1000,)]
    assert execute(url, "SELECT count(*) FROM live_workers") == [(1,)]


def test_an_error_in_one_lane_ends_the_worker_with_it(url: str) -> None:
    publish_run(url)
    does(url, "ada", "t1")

    def fails(_: Sequence[str]) -> None:
        raise ZeroDivisionError("a lane's own fault")

    with closing(Stop()) as stop, pytest.raises(ZeroDivisionError, match="a lane's own fault"):
        Worker(url, telling(fails), replace(PACE, lanes=2), stop).run()
    assert queued(url) == ["ada"]


def of_another_bucket(url: str, user: str) -> str:
    """Return a user whom nobody holds who works on the given one."""
    query = "SELECT u FROM unnest(%s) AS u WHERE live_bucket(u) <> live_bucket(%s) LIMIT 1"
    return str(execute(url, query, USERS, user)[0][0])


# --- cut off, standing still, stopped -----------------------------------------------------


def test_a_connection_that_is_cut_in_mid_batch_or_in_between_costs_nobody_a_list(url: str) -> None:
    run = publish_run(url)
    pause = Pause()
    with capture_logs() as logged, Working(url, telling(pause)):
        does(url, "ada", "t1")
        pause.wait()
        assert end_sessions(url, APPLICATION_NAME) == 1
        pause.go_on.set()
        wait_until(lambda: list_of(url, "ada") == [told(run, 1)], "the batch is repeated")
        wait_until(lambda: end_sessions(url, APPLICATION_NAME) == 1, "it is cut while it waits")
        does(url, "ada", "t2")
        wait_until(lambda: list_of(url, "ada") == [told(run, 2)], "it works on")
    assert [one["log_level"] for one in logged if one["event"] == "put off"] == ["warning"] * 2


def test_a_worker_that_stands_still_in_mid_batch_lets_the_others_have_its_users(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_queue, "LONGEST_STANDSTILL", "200ms")
    run = publish_run(url)
    does(url, "ada", "t1")
    pause = Pause()
    with Working(url, telling(pause)):
        pause.wait()

        def another_takes_them() -> bool:
            work_off(url)
            return list_of(url, "ada") == [told(run, 1)]

        wait_until(another_takes_them, "PostgreSQL ended the session that stood still")
        does(url, "ada", "t2")
        pause.go_on.set()
        wait_until(lambda: list_of(url, "ada") == [told(run, 2)], "the first one works on")


def test_a_database_that_stays_away_ends_the_worker_with_what_to_do() -> None:
    away = f"postgresql://someone:secret@127.0.0.1:{free_port([])}/nowhere"
    pace = replace(PACE, patience_seconds=0.0)
    with closing(Stop()) as stop, pytest.raises(ServiceUnavailableError) as told_of:
        Worker(away, telling(), pace, stop).run()
    assert "STREAM_PATIENCE_SECONDS" in str(told_of.value)
    assert "secret" not in str(told_of.value)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_works_until_it_is_asked_to_end(
    url: str, tmp_path: Path, number: signal.Signals
) -> None:
    does(url, "ada", "t1")
    log = tmp_path / "live.log"
    with running("live", env={"DATABASE_URL": url, "LOG_FORMAT": "json"}, log=log) as worker:
        worker.wait_until(lambda: queued(url) == [], timeout=60, what="nobody is queued")
        assert worker.end(number, timeout=30) == 0
    said = log.read_text()
    assert '"event": "settings"' in said
    assert '"users": 1' in said
    assert '"event": "stopped"' in said
    assert "Traceback" not in said


def test_taking_leaves_a_locked_bucket_to_who_locked_it(url: str) -> None:
    with transaction(url) as cursor:
        queue(cursor, ["ada"])
    with transaction(url) as one, transaction(url) as other:
        assert take(one, 10) == ["ada"]
        assert take(other, 10) == []
