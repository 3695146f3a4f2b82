"""The local stack's life on real servers: twice, killed, stale, beside another, from nothing."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
from kafka import KafkaProducer

from encore.errors import EncoreError, ServiceUnavailableError
from encore.events import MUSIC_TOPICS
from encore.settings import settings
from encore.stack import layout
from encore.stack.account import SHARED_ROOT
from encore.stack.endpoints import database_url, kafka_bootstrap_servers, redis_url
from encore.stack.local import Health, down, status, up, wipe
from encore.stack.process import find_by, free_port
from encore.stack.redis_server import has_redis
from encore.stack.state import ServerState, read_state, write_state
from encore.topics import check_kafka, end_offsets, ensure_topics

pytestmark = pytest.mark.services


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give one test a stack of its own, and leave nothing of it."""
    monkeypatch.setenv("ENCORE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    wipe()
    monkeypatch.undo()
    settings.cache_clear()


def query(text: str) -> object:
    with closing(psycopg2.connect(database_url())) as session, session.cursor() as cursor:
        cursor.execute(text)
        session.commit()
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def recorded(service: str) -> ServerState:
    state = read_state(layout.state_file(service))
    assert state is not None
    return state


def kill(service: str) -> None:
    process = psutil.Process(recorded(service).pid)
    process.kill()
    process.wait(timeout=10)


def encore(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "encore", *arguments],
        env={**os.environ, "ENCORE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_database_belongs_to_a_role_that_is_no_superuser(home: Path) -> None:
    up(["postgres"])
    assert query("SELECT current_user") == "pyspark"
    assert query("SELECT current_database()") == "music_db"
    assert query("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'music_db'"
    assert query(owner) == "pyspark"


def test_the_server_listens_to_this_machine_only_and_asks_for_a_password(home: Path) -> None:
    up(["postgres"])
    assert query("SELECT current_setting('listen_addresses')") == "127.0.0.1"
    wrong = database_url().replace("pyspark:", "pyspark:x")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)


def test_commits_are_durable(home: Path) -> None:
    up(["postgres"])
    assert query("SHOW fsync") == "on"
    assert query("SHOW synchronous_commit") == "on"
    assert query("SHOW timezone") == "UTC"


def test_passwords_are_for_their_owners_eyes_and_in_no_argument_or_log(home: Path) -> None:
    up(["postgres"])
    secrets = home / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o600}
    words = {(secrets / name).read_text().strip() for name in ("admin-password", "user-password")}
    assert len(words) == 2
    arguments = psutil.Process(recorded("postgres").pid).cmdline()
    seen = " ".join(arguments) + layout.log_file("postgres").read_text()
    assert not any(word in seen for word in words)


def test_starting_twice_keeps_the_server_and_its_data(home: Path) -> None:
    up(["postgres"])
    query("CREATE TABLE kept AS SELECT 7 AS n")
    first = recorded("postgres")
    up(["postgres"])
    assert recorded("postgres") == first
    down(["postgres"])
    assert not psutil.pid_exists(first.pid)
    up(["postgres"])
    assert recorded("postgres").port == first.port
    assert query("SELECT n FROM kept") == 7


def test_stopping_what_does_not_run_is_no_error(home: Path) -> None:
    assert down() == []
    assert [one.health for one in status()] == [Health.STOPPED, Health.STOPPED]


def test_a_killed_server_starts_again_with_its_data(home: Path) -> None:
    up(["postgres"])
    query("CREATE TABLE kept AS SELECT 7 AS n")
    kill("postgres")
    assert status(["postgres"])[0].health is Health.STOPPED
    up(["postgres"])
    assert query("SELECT n FROM kept") == 7


def test_a_lock_file_whose_pid_another_program_has_now_does_not_stop_postgresql(home: Path) -> None:
    up(["postgres"])
    kill("postgres")
    lock = Path(recorded("postgres").data) / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    up(["postgres"])
    assert query("SELECT 1") == 1


def test_a_process_that_got_the_recorded_pid_is_neither_taken_nor_killed(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        state = ServerState(
            "postgres",
            stranger.pid,
            created=psutil.Process(stranger.pid).create_time() - 3600,
            port=5432,
            data=str(layout.service_folder("postgres") / "data"),
        )
        write_state(layout.state_file("postgres"), state)
        assert status(["postgres"])[0].health is Health.STOPPED
        assert down(["postgres"]) == []
        up(["postgres"])
        assert query("SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()


def test_a_running_server_without_its_record_is_recognised(home: Path) -> None:
    up(["postgres"])
    first = recorded("postgres")
    layout.state_file("postgres").unlink()
    up(["postgres"])
    assert recorded("postgres") == first


def test_a_damaged_record_is_made_anew(home: Path) -> None:
    up(["postgres"])
    first = recorded("postgres")
    layout.state_file("postgres").write_text('{"service": "postg')
    assert status(["postgres"])[0].pid == first.pid


def test_a_port_in_use_is_passed_over(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = taken.getsockname()[1]
        write_state(
            layout.state_file("postgres"),
            ServerState("postgres", pid=1, created=0.0, port=busy, data="elsewhere"),
        )
        up(["postgres"])
        assert recorded("postgres").port != busy
        assert query("SELECT 1") == 1


def test_two_homes_at_once_do_not_meet(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    try:
        up(["postgres"])
        assert encore(other, "up", "postgres").returncode == 0
        mine, theirs = recorded("postgres"), read_state(other / "stack" / "postgres.json")
        assert theirs is not None
        assert mine.port != theirs.port
        query("CREATE TABLE mine AS SELECT 1 AS n")
        assert encore(other, "down", "postgres").returncode == 0
        assert query("SELECT n FROM mine") == 1
    finally:
        encore(other, "down", "--wipe")


def test_two_starts_at_once_make_one_server(home: Path) -> None:
    command = [sys.executable, "-m", "encore", "up", "postgres"]
    starts = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(timeout=120) for one in starts] == [0, 0]
    data = recorded("postgres").data
    assert len(list(find_by(lambda process: process.cmdline()[1:3] == ["-D", data]))) == 1


def test_two_homes_started_at_the_same_moment_share_no_port(home: Path, tmp_path: Path) -> None:
    homes = [home, tmp_path / "other"]
    port = str(free_port([]))
    command = [sys.executable, "-m", "encore", "up"]
    try:
        starts = [
            subprocess.Popen(
                command,
                env={
                    **os.environ,
                    "ENCORE_HOME": str(one),
                    "KAFKA_PORT": port,
                    "POSTGRES_PORT": port,
                },
                stderr=subprocess.DEVNULL,
            )
            for one in homes
        ]
        assert [one.wait(timeout=200) for one in starts] == [0, 0]
        states = [
            read_state(one / "stack" / f"{service}.json")
            for one in homes
            for service in ("kafka", "postgres")
        ]
        ports = {state.port for state in states if state}
        assert len(ports) == 4
    finally:
        encore(tmp_path / "other", "down", "--wipe")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_starts_postgresql_as_another_user_in_a_folder_that_user_can_enter(
    home: Path,
) -> None:
    home.mkdir(parents=True)
    home.parent.chmod(0o700)
    up(["postgres"])
    state = recorded("postgres")
    assert psutil.Process(state.pid).username() in {"postgres", "nobody"}
    assert Path(state.data).is_relative_to(SHARED_ROOT)
    wipe(["postgres"])
    assert not Path(state.data).parent.exists()


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    up(["postgres"])
    down(["postgres"])
    (Path(recorded("postgres").data) / "global" / "pg_control").unlink()
    with pytest.raises(ServiceUnavailableError, match=r"PostgreSQL ended while starting: .*log:"):
        up(["postgres"])


def test_kafka_keeps_its_records_when_it_is_killed(home: Path) -> None:
    up(["kafka"])
    first = recorded("kafka")
    ensure_topics(kafka_bootstrap_servers(), MUSIC_TOPICS, settings())
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap_servers(), acks="all")
    producer.send("music.events", b"{}").get(timeout=20)
    producer.close()
    process = psutil.Process(first.pid)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    with pytest.raises(ServiceUnavailableError, match="encore up kafka"):
        check_kafka(kafka_bootstrap_servers())
    up(["kafka"])
    assert recorded("kafka").pid != first.pid
    assert kafka_bootstrap_servers() == f"127.0.0.1:{first.port}"
    assert sum(end_offsets(kafka_bootstrap_servers(), ["music.events"]).values()) == 1


def test_kafka_started_twice_is_one_and_is_recognised_without_its_record(home: Path) -> None:
    up(["kafka"])
    first = recorded("kafka")
    layout.state_file("kafka").unlink()
    up(["kafka"])
    assert recorded("kafka") == first
    connections = psutil.Process(first.pid).net_connections("tcp")
    listening = {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
    assert {address.replace("::ffff:", "") for address in listening} == {"127.0.0.1"}
    assert down(["kafka"]) == ["kafka"]
    assert not psutil.pid_exists(first.pid)


def test_services_that_the_settings_name_are_asked_and_never_started(
    kafka: str, postgres_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    settings.cache_clear()
    up()
    found = status()
    assert [(one.health, one.external, one.pid) for one in found] == [
        (Health.RUNNING, True, None),
        (Health.RUNNING, True, None),
    ]
    assert "********" in found[1].endpoint
    assert down() == []
    assert not (home / "kafka").exists()
    assert not (home / "postgres").exists()
    check_kafka(kafka)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS")
    monkeypatch.delenv("DATABASE_URL")
    settings.cache_clear()


def test_what_encore_env_prints_still_names_our_own_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    up(["postgres"])
    monkeypatch.setenv("DATABASE_URL", database_url())
    settings.cache_clear()
    assert status(["postgres"])[0].external is False
    assert down(["postgres"]) == ["postgres"]


def test_a_named_service_that_is_away_is_told_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@127.0.0.1:1/db")
    settings.cache_clear()
    with pytest.raises(ServiceUnavailableError, match="does not answer") as caught:
        up(["postgres"])
    assert "hush" not in str(caught.value)
    monkeypatch.delenv("DATABASE_URL")
    settings.cache_clear()


def test_status_as_json_and_its_exit_code(home: Path) -> None:
    up(["postgres"])
    told = encore(home, "status", "--json")
    kafka_told, postgres_told = json.loads(told.stdout)
    assert (kafka_told["health"], postgres_told["health"]) == ("stopped", "running")
    assert told.returncode == 3
    assert encore(home, "status", "postgres").returncode == 0


def test_an_unknown_service_is_named(home: Path) -> None:
    with pytest.raises(EncoreError, match=r"no service mysql\. Choose from kafka, postgres, redis"):
        up(["mysql"])


@pytest.mark.skipif(not has_redis(), reason="there is no redis-server on this machine")
def test_redis_is_started_when_asked_for_and_not_missed_when_stopped(home: Path) -> None:
    assert "redis" not in [one.name for one in status()]
    up(["redis"])
    first = recorded("redis")
    process = psutil.Process(first.pid)
    assert {one.laddr.ip for one in process.net_connections("tcp")} == {"127.0.0.1"}
    assert [one.split("/")[-1] for one in process.cmdline()] == ["redis-server", "redis.conf"]
    with (
        closing(redis.Redis(port=first.port)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    assert json.loads(encore(home, "status", "redis", "--json").stdout)[0]["health"] == "running"
    layout.state_file("redis").unlink()
    up(["redis"])
    assert recorded("redis") == first
    kill("redis")
    assert status(["redis"])[0].health is Health.STOPPED
    assert redis_url() == ""
    up(["redis"])
    with closing(redis.Redis.from_url(redis_url())) as ours:
        assert ours.ping()
    assert down() == ["redis"]
    assert "redis" not in [one.name for one in status()]
