"""The local Redis: the machine's own ``redis-server``, by password on 127.0.0.1, in memory only."""

import os
import shutil
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Final

import psutil
import redis

from encore.errors import EncoreError
from encore.paths import PROJECT_ROOT
from encore.settings import settings
from encore.stack import layout
from encore.stack.credentials import redis_password
from encore.stack.process import spawn
from encore.stack.server import Server
from encore.stack.state import write_atomically

PROGRAM: Final = "redis-server"
MEMORY: Final = "256mb"
_INSTALLER: Final = PROJECT_ROOT / "scripts" / "prerequisites.sh"


class Redis(Server):
    """Redis for answers that PostgreSQL can give again: nothing of it is written to disk."""

    name = "redis"
    title = "Redis"
    stop_signal = signal.SIGTERM
    stop_seconds = 10.0
    start_seconds = 30.0

    def preferred_port(self) -> int:
        """Return ``REDIS_PORT``."""
        return settings().redis_port

    def data_folder(self) -> Path:
        """Return the folder that the server works in, where it writes nothing."""
        return layout.service_folder(self.name) / "data"

    def config_file(self) -> Path:
        """Return the generated configuration, whose path is in the process's arguments."""
        return layout.secrets_folder() / "redis.conf"

    def is_ours(self, process: psutil.Process) -> bool:
        """Know our server by the configuration file in its arguments."""
        return process.cmdline()[1:] == [str(self.config_file())]

    def port_of(self, process: psutil.Process) -> int:  # noqa: ARG002 - one configuration
        """Read the port from the configuration that the process was started with."""
        lines = self.config_file().read_text(encoding="utf-8").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("port ")))

    def launch(self, port: int) -> psutil.Process:
        """Write the configuration and start the server."""
        program = redis_program()
        self.data_folder().mkdir(parents=True, exist_ok=True)
        text = local_config(self.data_folder(), port, redis_password())
        write_atomically(self.config_file(), text, mode=0o600)
        return spawn(
            [program, str(self.config_file())],
            log_file=layout.log_file(self.name),
            environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            folder=self.data_folder(),
        )

    def check(self, port: int) -> None:
        """Answer a command."""
        check_redis(f"redis://:{redis_password()}@{layout.HOST}:{port}")

    def settle(self, port: int) -> None:
        """Leave it empty."""


def check_redis(url: str, seconds: float = 5.0) -> None:
    """Ask for an answer; raise ``redis.RedisError`` if there is none."""
    client = redis.Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds)
    with closing(client):
        client.ping()


def has_redis() -> bool:
    """Tell whether this machine has a Redis to start."""
    return shutil.which(PROGRAM) is not None


def redis_program() -> str:
    """Return the machine's ``redis-server``; as root on Debian, install it where it is missing.

    Raises:
        EncoreError: there is none.
    """
    if not has_redis():
        subprocess.run(
            [str(_INSTALLER), "--redis"], check=False, stdin=subprocess.DEVNULL, capture_output=True
        )
    found = shutil.which(PROGRAM)
    if found is None:
        raise EncoreError(
            f"there is no {PROGRAM} on the PATH. Install it (Debian, Ubuntu: apt-get install "
            f"{PROGRAM}), or set REDIS_URL to one that runs. Without it the API answers all the "
            "same, from PostgreSQL."
        )
    return found


def local_config(data: Path, port: int, password: str) -> str:
    """Return the configuration: the oldest answers go when the memory is full."""
    return "\n".join(
        [
            f"bind {layout.HOST}",
            f"port {port}",
            f"requirepass {password}",
            f'dir "{data}"',
            "daemonize no",
            "set-proc-title no",
            'save ""',
            "appendonly no",
            f"maxmemory {MEMORY}",
            "maxmemory-policy allkeys-lru",
            "",
        ]
    )
