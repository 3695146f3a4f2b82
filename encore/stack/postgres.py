"""The local PostgreSQL, from its binaries, reachable by password on 127.0.0.1 only."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection, encrypt_password

from encore.errors import EncoreError
from encore.paths import PROJECT_ROOT
from encore.settings import settings
from encore.stack import layout
from encore.stack.account import Account, reachable_folder, unprivileged_account
from encore.stack.binaries import postgres_home
from encore.stack.credentials import ADMIN_USER, admin_password, user_password, write_passfile
from encore.stack.process import find_by, spawn, stop
from encore.stack.server import Server

CONFIG = PROJECT_ROOT / "database" / "postgresql.conf"
PID_FILE = "postmaster.pid"
PORT_LINE = 3  # of postmaster.pid, counted from 0


class Postgres(Server):
    """PostgreSQL as the caller, or as an unprivileged user when the caller is root."""

    name = "postgres"
    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, keeps what was committed
    stop_seconds = 30.0
    start_seconds = 60.0

    def __init__(self) -> None:
        """Look up whom the server runs as and where its files can lie."""
        self.account: Account | None = unprivileged_account()
        self.folder = reachable_folder(layout.service_folder(self.name), self.account)

    def preferred_port(self) -> int:
        """Return ``POSTGRES_PORT``."""
        return settings().postgres_port

    def data_folder(self) -> Path:
        """Return the cluster's folder."""
        return self.folder / "data"

    def is_ours(self, process: psutil.Process) -> bool:
        """Know our postmaster by the data folder in its arguments."""
        return process.cmdline()[1:3] == ["-D", str(self.data_folder())]

    def port_of(self, process: psutil.Process) -> int:
        """Read the port from the running postmaster's own file."""
        lines = (self.data_folder() / PID_FILE).read_text(encoding="utf-8").splitlines()
        if int(lines[0]) != process.pid or len(lines) <= PORT_LINE:
            raise ValueError("the postmaster has not written its file yet")
        return int(lines[PORT_LINE])

    def launch(self, port: int) -> psutil.Process:
        """Make the cluster if it is new, clear a stale lock, start the postmaster."""
        home = postgres_home(self.account)
        if not (self.data_folder() / "PG_VERSION").exists():
            self._initialise(home)
        self._clear_stale_lock()
        config = self.data_folder() / "postgresql.conf"
        config.write_text(CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
        return spawn(
            [str(home / "bin" / "postgres"), "-D", str(self.data_folder()), *_options(port)],
            log_file=layout.log_file(self.name),
            environment=self._environment(),
            account=self.account,
            folder=self.data_folder(),
        )

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(self.folder)}

    def _initialise(self, home: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".initdb-") as name:
            scratch = Path(name)
            password = scratch / "password"
            password.touch(mode=0o600)
            password.write_text(admin_password() + "\n", encoding="utf-8")
            self._give(scratch, password)
            self._run_initdb(home, scratch / "data", password)
            (scratch / "data").rename(self.data_folder())

    def _give(self, *paths: Path) -> None:
        if self.account is not None:
            for path in paths:
                os.chown(path, self.account.uid, self.account.gid)

    def _run_initdb(self, home: Path, data: Path, password: Path) -> None:
        command = [str(home / "bin" / "initdb"), "-D", str(data), "--username", ADMIN_USER]
        command += ["--pwfile", str(password), "--auth", "scram-sha-256", "--encoding", "UTF8"]
        command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        command += ["--no-locale", "--no-instructions"]
        identity: dict[str, Any] = self.account.popen_arguments() if self.account else {}
        done = subprocess.run(
            command,
            env=self._environment(),
            cwd=data.parent,
            capture_output=True,
            text=True,
            check=False,
            **identity,
        )
        if done.returncode != 0:
            raise EncoreError(f"PostgreSQL's initdb failed in {data}: {done.stderr.strip()}")

    def _clear_stale_lock(self) -> None:
        # A killed postmaster leaves its pid file and, for a moment, its children. PostgreSQL
        # refuses to start while the pid in that file, perhaps another program's by now, lives.
        for orphan in list(find_by(self._works_in_data)):
            stop(orphan, ask=signal.SIGQUIT, seconds=10.0)
        (self.data_folder() / PID_FILE).unlink(missing_ok=True)

    def _works_in_data(self, process: psutil.Process) -> bool:
        return process.name() == "postgres" and process.cwd() == str(self.data_folder())

    def check(self, port: int) -> None:
        """Answer a query as the superuser: the owner's role comes after the first start."""
        with self.admin(port) as session, session.cursor() as cursor:
            cursor.execute("SELECT 1")

    @contextmanager
    def admin(self, port: int) -> Iterator[connection]:
        """Connect as the superuser, without a transaction."""
        session = psycopg2.connect(
            host=layout.HOST,
            port=port,
            user=ADMIN_USER,
            password=admin_password(),
            dbname="postgres",
            connect_timeout=5,
        )
        with closing(session):
            session.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            yield session

    def settle(self, port: int) -> None:
        """Make the owner's role and database, and the password file that ``psql`` reads."""
        current = settings()
        with self.admin(port) as session:
            ensure_role(session, current.postgres_user, user_password())
            ensure_database(session, current.postgres_db, owner=current.postgres_user)
        write_passfile(port)


def _options(port: int) -> list[str]:
    return [
        "-p", str(port),
        "-c", f"listen_addresses={layout.HOST}",
        "-c", "unix_socket_directories=",
    ]  # fmt: skip


def ensure_role(session: connection, name: str, password: str) -> None:
    """Give a role its password, creating it if needed: may log in and make databases, no more.

    The server is sent a SCRAM verifier, so that no log of it can hold the password.
    """
    verifier = encrypt_password(password, name, scope=session, algorithm="scram-sha-256")
    exists = _exists(session, "SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
    verb = sql.SQL("ALTER" if exists else "CREATE")
    statement = sql.SQL("{} ROLE {} LOGIN CREATEDB NOSUPERUSER PASSWORD {}")
    with session.cursor() as cursor:
        cursor.execute(statement.format(verb, sql.Identifier(name), sql.Literal(verifier)))


def ensure_database(session: connection, name: str, *, owner: str) -> None:
    """Create a database for its owner unless it is there."""
    if _exists(session, "SELECT 1 FROM pg_database WHERE datname = %s", [name]):
        return
    statement = sql.SQL("CREATE DATABASE {} OWNER {}")
    with session.cursor() as cursor:
        cursor.execute(statement.format(sql.Identifier(name), sql.Identifier(owner)))


def _exists(session: connection, query: str, values: Sequence[str]) -> bool:
    with session.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone() is not None
