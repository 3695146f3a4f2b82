"""What the local stack writes and reads: states, password files, addresses, configurations."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from encore.errors import EncoreError, ServiceUnavailableError
from encore.settings import settings
from encore.stack.artifacts import postgres_platform
from encore.stack.broker import advertised_port, local_properties
from encore.stack.credentials import escape
from encore.stack.endpoints import database_url, kafka_bootstrap_servers, redact_url
from encore.stack.process import find, free_port, port_is_free
from encore.stack.state import ServerState, exclusive, read_state, write_atomically, write_state
from encore.topics import host_and_port

STATE = ServerState("kafka", pid=12, created=1.5, port=9092, data="/data")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Use an empty home in which nothing was ever started."""
    monkeypatch.setenv("ENCORE_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    settings.cache_clear()


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_state(tmp_path / "kafka.json", STATE)
    assert read_state(tmp_path / "kafka.json") == STATE


@pytest.mark.parametrize("text", ["", "{", "[]", '{"service": "kafka"}', '{"pid": 1, "new": 2}'])
def test_a_damaged_state_is_no_state(tmp_path: Path, text: str) -> None:
    (tmp_path / "kafka.json").write_text(text)
    assert read_state(tmp_path / "kafka.json") is None


def test_a_file_that_could_not_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old", mode=0o600)
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800", mode=0o600)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    path, entered = tmp_path / "lock", []

    def second() -> None:
        with exclusive(path, what="this test"):
            entered.append("second")

    other = threading.Thread(target=second)
    with exclusive(path, what="this test"):
        other.start()
        entered.append("first")
    other.join(timeout=10)
    assert entered == ["first", "second"]


def test_a_lock_that_stays_taken_is_told(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        exclusive(path, what="this test"),
        pytest.raises(EncoreError, match=r"busy with this test for 0 s.*lock file"),
        exclusive(path, what="this test", seconds=0.01),
    ):
        pass


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = (
        "import os, pathlib, encore.stack.state as state\n"
        f"with state.exclusive(pathlib.Path({str(path)!r}), what='it'):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    with exclusive(path, what="this test", seconds=1.0):
        pass


def test_a_reused_pid_is_not_our_process() -> None:
    assert find(os.getpid(), created=0.0) is None


def test_a_port_in_use_is_not_chosen() -> None:
    port = free_port([])
    assert port_is_free(port)
    assert free_port([port]) == port


@pytest.mark.parametrize(
    ("part", "escaped"), [("plain", "plain"), ("a:b", r"a\:b"), ("a\\b", r"a\\b"), ("*", "*")]
)
def test_password_files_are_escaped_as_libpq_reads_them(part: str, escaped: str) -> None:
    assert escape(part) == escaped


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hush@host:5432/db", "postgresql://me:********@host:5432/db"),
        ("postgresql://me:a%40b@host/db?x=1", "postgresql://me:********@host/db?x=1"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("127.0.0.1:9092", "127.0.0.1:9092"),
    ],
)
def test_passwords_are_hidden_in_addresses(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("127.0.0.1:9093", ("127.0.0.1", 9093)),
        ("broker", ("broker", 9092)),
        ("[::1]:9094", ("::1", 9094)),
        ("[::1]", ("::1", 9092)),
        (" broker:1 ", ("broker", 1)),
    ],
)
def test_brokers_are_split_into_host_and_port(server: str, address: tuple[str, int]) -> None:
    assert host_and_port(server) == address


def test_a_service_that_was_never_started_is_told_with_what_to_do(home: Path) -> None:
    with pytest.raises(ServiceUnavailableError, match=r"encore up kafka.*KAFKA_BOOTSTRAP_SERVERS"):
        kafka_bootstrap_servers()
    with pytest.raises(ServiceUnavailableError, match=r"encore up postgres.*DATABASE_URL"):
        database_url()


def test_the_brokers_port_is_read_from_its_own_configuration() -> None:
    text = local_properties(Path("/data"), 9095, 9096)
    assert advertised_port("node.id=1\n" + text) == 9095
    assert "listeners=PLAINTEXT://127.0.0.1:9095,CONTROLLER://127.0.0.1:9096" in text


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("Linux", "x86_64", "linux-amd64"),
        ("Linux", "aarch64", "linux-arm64v8"),
        ("Darwin", "arm64", "darwin-arm64v8"),
    ],
)
def test_postgresql_is_chosen_for_the_machine(system: str, machine: str, name: str) -> None:
    assert postgres_platform(system, machine) == name


def test_a_machine_without_binaries_is_told_what_to_do_instead() -> None:
    with pytest.raises(EncoreError, match=r"Windows on AMD64.*DATABASE_URL"):
        postgres_platform("Windows", "AMD64")
