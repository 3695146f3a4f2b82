"""PostgreSQL killed, cut off, full, locked: the same job goes on by itself, and exactly."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg2
import pytest
from psycopg2 import sql

from database.engine import transaction
from encore.settings import settings
from encore.stack import layout, local
from encore.stack.credentials import ADMIN_USER, admin_password
from encore.stack.endpoints import database_url as recorded_url
from encore.stack.endpoints import local_database_url
from encore.stack.postgres import Postgres
from encore.stack.state import read_state
from tests.faults.conftest import make_pipeline
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside, Message, Running, event, message

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]

OURS = ("encore-stream", "encore-staging")


@dataclass(frozen=True)
class OwnServer:
    """A PostgreSQL of this module's own, to be treated badly."""

    home: Path

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """Let the stack's functions mean this server."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENCORE_HOME", str(self.home))
            settings.cache_clear()
            try:
                yield
            finally:
                patch.undo()
                settings.cache_clear()

    def up(self) -> str:
        """Start it, or again; return the URL of its first database."""
        with self.at_home():
            local.up(["postgres"])
            return recorded_url()

    def kill(self) -> None:
        """Kill the postmaster and all its backends with SIGKILL, as the kernel would."""
        with self.at_home():
            state = read_state(layout.state_file("postgres"))
        assert state is not None
        family = [psutil.Process(state.pid), *psutil.Process(state.pid).children(recursive=True)]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family, timeout=30)

    @contextmanager
    def admin(self) -> Iterator["Cursor"]:
        """Yield a cursor of the superuser's, each statement a transaction of its own."""
        with self.superuser("postgres") as session, session.cursor() as cursor:
            session.autocommit = True
            yield cursor

    @contextmanager
    def superuser(self, database: str) -> Iterator["Connection"]:
        """Connect to a database as the superuser; roll back and leave at the end."""
        with self.at_home():
            password = admin_password()
        session = psycopg2.connect(
            host=layout.HOST, port=self.port, dbname=database, user=ADMIN_USER, password=password
        )
        with closing(session):
            yield session

    @property
    def port(self) -> int:
        """Return the port on which it listens, also after a restart."""
        with self.at_home():
            state = read_state(layout.state_file("postgres"))
        assert state is not None
        return state.port

    def make_database(self, name: str) -> str:
        """Create a database of the usual owner's; return its URL."""
        with self.admin() as cursor, self.at_home():
            owner = sql.Identifier(settings().postgres_user)
            make = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), owner)
            cursor.execute(make)
            return local_database_url(self.port, name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is in it."""
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with self.admin() as cursor:
            cursor.execute(drop)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """Start a PostgreSQL that no other test uses."""
    own = OwnServer(tmp_path_factory.mktemp("own-postgres"))
    try:
        own.up()
        yield own
    finally:
        with own.at_home():
            local.wipe(["postgres"])


@pytest.fixture
def away(spark: "SparkSession", kafka: str, server: OwnServer, tmp_path: Path) -> Iterator[Inside]:
    """Return a pipeline whose database lies on the server of this module."""
    name = f"away_{time.time_ns()}"
    made = Inside(spark, make_pipeline(kafka, server.make_database(name), tmp_path))
    made.make_topics()
    yield made
    server.drop_database(name)


def events(first: int, count: int) -> list[Message]:
    """Return so many events, numbered from the first on."""
    return [message(event(number)) for number in range(first, first + count)]


@contextmanager
def user(away: Inside) -> Iterator["Connection"]:
    """Connect as a user of the database would; roll back and leave at the end."""
    with closing(psycopg2.connect(away.pipeline.database, application_name="a user")) as session:
        yield session


def wait_until_counted(away: Inside, job: Running, records: int) -> None:
    """Wait until the job has counted so many records in all."""
    counted = away.pipeline.counted
    job.wait_until(lambda: counted() >= records, what=f"{records} records are counted")


def finish(away: Inside, job: Running, records: int) -> None:
    """Let the same job count everything that was sent, and check all of it."""
    wait_until_counted(away, job, records)
    away.pipeline.assert_exact()
    assert away.totals() == {"accepted": records, "duplicate": 0, "rejected": 0}


def test_a_server_killed_and_started_again_is_waited_for(away: Inside, server: OwnServer) -> None:
    away.send(events(0, 900))
    with away.streaming(stream_max_offsets_per_trigger=300) as job:
        wait_until_counted(away, job, 300)
        server.kill()
        away.send(events(900, 600))
        job.wait_until(lambda: len(job.put_off()) >= 2, what="a batch is put off twice")
        server.up()
        finish(away, job, 1500)


def test_connections_cut_at_random_moments_change_no_number(away: Inside) -> None:
    seed = random.randrange(2**32)
    sys.stderr.write(f"seed {seed}\n")
    dice = random.Random(seed)
    away.send(events(0, 2500))
    cut = 0
    with away.streaming(stream_max_offsets_per_trigger=200) as job:
        for _ in range(6):
            wait_until_counted(away, job, min(2400, away.pipeline.counted() + dice.randint(1, 300)))
            # Somewhere within the batch that has begun by now.
            deadline = time.monotonic() + dice.random() / 3
            while time.monotonic() < deadline:
                away.pipeline.counted()
            cut += cut_connections(away)
        finish(away, job, 2500)
        assert cut >= 6
        assert job.put_off()


def test_a_server_without_a_free_connection_is_waited_for(away: Inside, server: OwnServer) -> None:
    away.send(events(0, 500))
    with away.streaming(stream_max_offsets_per_trigger=100) as job, ExitStack() as taken:
        wait_until_counted(away, job, 100)
        with server.admin() as admin:  # on a connection that PostgreSQL reserves

            def refused() -> bool:
                take_every_connection(away, taken)
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = ANY (%s)",
                    (list(OURS),),
                )
                return any("connection slots are reserved" in why for why in job.put_off())

            job.wait_until(refused, what="the job finds no connection")
        taken.close()
        away.send(events(500, 500))
        finish(away, job, 1000)


def test_a_table_locked_for_longer_than_the_lock_timeout_is_waited_for(away: Inside) -> None:
    away.send(events(0, 300))
    with away.streaming(stream_lock_timeout_seconds=1) as job, user(away) as session:
        wait_until_counted(away, job, 300)
        with session.cursor() as cursor:
            cursor.execute("LOCK TABLE user_item_affinity IN ACCESS EXCLUSIVE MODE")
        away.send(events(300, 300))
        job.wait_until(lambda: len(job.put_off()) >= 2, what="a batch is put off twice")
        assert {"lock timeout" in why for why in job.put_off()} == {True}
        assert away.pipeline.counted() == 300
        session.rollback()
        finish(away, job, 600)


@pytest.mark.parametrize("cut", [False, True])
def test_a_batch_staged_while_the_one_before_waits_to_be_merged_knows_its_events(
    away: Inside, cut: bool
) -> None:
    away.send(events(0, 300))
    with away.streaming() as job, user(away) as session:
        wait_until_counted(away, job, 300)
        with session.cursor() as cursor:
            cursor.execute("LOCK TABLE minute_users IN ACCESS EXCLUSIVE MODE")
        away.send(events(300, 1))  # one, which cannot be divided over batches
        job.wait_until(lambda: merge_waits(away), what="a merge waits for the user")
        away.send(events(300, 1))
        job.wait_until(lambda: staged_batches(away) == 2, what="the next batch is staged")
        if cut:
            # The merge starts again from Kafka, and what was staged behind it with it.
            assert cut_connections(away)
            job.wait_until(lambda: job.put_off() != [], what="the merge failed")
        session.rollback()
        wait_until_counted(away, job, 302)
        away.pipeline.assert_exact()
    assert away.totals() == {"accepted": 301, "duplicate": 1, "rejected": 0}


def test_a_deadlock_with_a_user_is_resolved_by_trying_again(
    away: Inside, server: OwnServer
) -> None:
    away.send(events(0, 300))
    name = away.pipeline.database.rsplit("/", 1)[1]
    with server.admin() as admin:
        # The merge looks for a deadlock 3 s after it began to wait, the user's session never
        # does: so it is the merge that gives way.
        later = sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '3s'")
        admin.execute(later.format(sql.Identifier(name)))
    with away.streaming() as job, server.superuser(name) as session, session.cursor() as cursor:
        wait_until_counted(away, job, 300)
        cursor.execute("SET deadlock_timeout = '1h'")
        cursor.execute("LOCK TABLE minute_users IN ACCESS EXCLUSIVE MODE")
        away.send(events(300, 300))
        job.wait_until(lambda: merge_waits(away), what="the merge waits for the user")
        cursor.execute("LOCK TABLE item_counts_5m IN ACCESS EXCLUSIVE MODE")
        session.rollback()
        finish(away, job, 600)
        assert ["deadlock detected" in why for why in job.put_off()] == [True]


def test_a_disk_that_is_full_is_waited_for(away: Inside, server: OwnServer) -> None:
    with (
        small_disk(away, server, megabytes=3) as disk,
        away.streaming(stream_max_offsets_per_trigger=4000) as job,
    ):
        away.send(
            message(event(number, user_id=f"{number:0128}", item_id=f"{number:0128}"))
            for number in range(4000)
        )
        job.wait_until(lambda: len(job.put_off()) >= 2, what="a batch is put off twice")
        assert "No space left on device" in job.put_off()[-1]
        mount("-o", "remount,size=256m", str(disk))
        finish(away, job, 4000)


def test_a_job_whose_patience_is_at_its_end_says_why_and_another_goes_on(
    away: Inside, server: OwnServer
) -> None:
    away.send(events(0, 500))
    pipeline = away.pipeline
    with pipeline.streaming(STREAM_PATIENCE_SECONDS="1", LOG_FORMAT="json") as job:
        counted = pipeline.counted
        job.wait_until(lambda: counted() >= 500, timeout=120, what="all is counted")
        server.kill()
        away.send(events(500, 500))
        code = job.ends(timeout=120)
    said = pipeline.log.read_text(encoding="utf-8")
    assert code not in (0, None)
    server.up()
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "PostgreSQL" in error
    assert "does not answer" in error
    assert "start it again to go on" in said
    assert "Traceback" not in said
    assert "\tat org.apache" not in said
    assert password_of(pipeline.database) not in said
    away.count_all()
    pipeline.assert_exact()
    assert away.totals() == {"accepted": 1000, "duplicate": 0, "rejected": 0}


def staged_batches(away: Inside) -> int:
    """Return in how many sets of staging tables there is something."""
    with transaction(away.pipeline.database) as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables "
            "WHERE schemaname = 'staging' AND tablename LIKE '%\\_seen\\_events'"
        )
        names = [row[0] for row in cursor.fetchall()]
        found = 0
        for name in names:
            table = sql.Identifier("staging", name)
            cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table))
            found += bool(cursor.fetchall()[0][0])
        return found


def cut_connections(away: Inside) -> int:
    """End the stream's connections to the database of the test; return how many there were."""
    with transaction(away.pipeline.database) as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = ANY (%s) AND datname = current_database()",
            (list(OURS),),
        )
        return cursor.rowcount


def take_every_connection(away: Inside, taken: ExitStack) -> None:
    """Connect until the server refuses."""
    while True:
        try:
            session = psycopg2.connect(away.pipeline.database, application_name="a crowd")
        except psycopg2.OperationalError:
            return
        taken.callback(session.close)


def merge_waits(away: Inside) -> bool:
    """Tell whether the stream waits for a lock."""
    with transaction(away.pipeline.database) as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE NOT granted AND application_name = 'encore-stream' "
            "AND datname = current_database()"
        )
        return bool(cursor.fetchall()[0][0])


@contextmanager
def small_disk(away: Inside, server: OwnServer, megabytes: int) -> Iterator[Path]:
    """Put the staging tables of the test's database on a disk of their own."""
    name = away.pipeline.database.rsplit("/", 1)[1]
    with server.at_home():
        postgres = Postgres()
        owner = settings().postgres_user
    disk = postgres.folder / f"disk-{name}"
    disk.mkdir()
    account = f"uid={postgres.account.uid},gid={postgres.account.gid}," if postgres.account else ""
    if not mount("-t", "tmpfs", "-o", f"{account}mode=700,size={megabytes}m", "small", str(disk)):
        disk.rmdir()
        pytest.skip("mounting a small file system is not allowed here")
    try:
        names = {"disk": sql.Identifier(f"disk_{name}"), "at": sql.Literal(str(disk / "data"))}
        names |= {"owner": sql.Identifier(owner), "database": sql.Identifier(name)}
        (disk / "data").mkdir(mode=0o700)
        if postgres.account:
            (disk / "data").chmod(0o700)
            os.chown(disk / "data", postgres.account.uid, postgres.account.gid)
        with server.admin() as cursor:
            for statement in (
                "CREATE TABLESPACE {disk} OWNER {owner} LOCATION {at}",
                "ALTER ROLE {owner} IN DATABASE {database} SET default_tablespace = {disk}",
            ):
                cursor.execute(sql.SQL(statement).format(**names))
        yield disk
        server.drop_database(name)
        with server.admin() as cursor:
            cursor.execute(sql.SQL("DROP TABLESPACE {disk}").format(**names))
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        disk.rmdir()


def mount(*arguments: str) -> bool:
    """Mount, or mount anew; tell whether it worked."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def password_of(url: str) -> str:
    """Return the password in a URL."""
    return url.split("@", maxsplit=1)[0].rsplit(":", 1)[1]
