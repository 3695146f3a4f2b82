"""The local Kafka: one KRaft node, broker and controller in one."""

import os
import signal
import subprocess
from pathlib import Path

import psutil

from encore.errors import EncoreError
from encore.paths import PROJECT_ROOT
from encore.settings import settings
from encore.stack import layout
from encore.stack.artifacts import kafka_jars
from encore.stack.java import find_java
from encore.stack.process import free_port, port_is_free, spawn, tail
from encore.stack.server import Server
from encore.stack.state import write_atomically
from encore.topics import check_kafka

HEAP = "768m"
# Any id will do for a cluster of one; a fixed one keeps formatting idempotent.
CLUSTER_ID = "ZW5jb3JlLWxvY2FsLWthZg"
LOG_CONFIG = PROJECT_ROOT / "kafka" / "log4j2.properties"
BASE_PROPERTIES = PROJECT_ROOT / "kafka" / "server.properties"


class Broker(Server):
    """Kafka from its jars, on 127.0.0.1 only."""

    name = "kafka"
    title = "Kafka"
    stop_signal = signal.SIGTERM
    stop_seconds = 20.0
    start_seconds = 90.0

    def preferred_port(self) -> int:
        """Return ``KAFKA_PORT``."""
        return settings().kafka_port

    def data_folder(self) -> Path:
        """Return the folder of the log segments."""
        return layout.service_folder(self.name) / "data"

    def properties_file(self) -> Path:
        """Return the generated configuration, whose path is in the process's arguments."""
        return layout.service_folder(self.name) / "server.properties"

    def is_ours(self, process: psutil.Process) -> bool:
        """Know our broker by the configuration file in its arguments."""
        return process.cmdline()[-2:] == ["kafka.Kafka", str(self.properties_file())]

    def port_of(self, process: psutil.Process) -> int:  # noqa: ARG002 - one configuration
        """Read the port from the configuration that the process was started with."""
        text = self.properties_file().read_text(encoding="utf-8")
        return advertised_port(text)

    def launch(self, port: int) -> psutil.Process:
        """Write the configuration, format the folder if it is new, start the broker."""
        self.data_folder().mkdir(parents=True, exist_ok=True)
        controller = free_port([one for one in (port + 1, port + 2) if port_is_free(one)])
        base = BASE_PROPERTIES.read_text(encoding="utf-8")
        text = base + local_properties(self.data_folder(), port, controller)
        write_atomically(self.properties_file(), text, mode=0o644)
        self._format()
        return spawn(
            [*java_command(f"-Xmx{HEAP}", "-Xms256m"), "kafka.Kafka", str(self.properties_file())],
            log_file=layout.log_file(self.name),
            environment=os.environ,
            folder=layout.service_folder(self.name),
        )

    def _format(self) -> None:
        command = [*java_command("-Xmx128m"), "kafka.tools.StorageTool", "format"]
        command += ["--cluster-id", CLUSTER_ID, "--ignore-formatted"]
        log_file = layout.log_file(self.name)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        if (self.data_folder() / "meta.properties").exists():
            return
        with log_file.open("ab") as output:
            done = subprocess.run(
                [*command, "--config", str(self.properties_file())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            raise EncoreError(
                f"could not format Kafka's folder {self.data_folder()}: {tail(log_file)} "
                f"(log: {log_file})"
            )

    def check(self, port: int) -> None:
        """Ask for the cluster's metadata."""
        check_kafka(f"{layout.HOST}:{port}")

    def settle(self, port: int) -> None:
        """Leave the topics to those who use them."""


def java_command(*memory: str) -> list[str]:
    """Return the command line of a Kafka program up to its class name."""
    classpath = os.pathsep.join(str(jar) for jar in kafka_jars())
    log_config = f"-Dlog4j2.configurationFile={LOG_CONFIG}"
    return [str(find_java()), *memory, log_config, "-cp", classpath]


def local_properties(data: Path, port: int, controller_port: int) -> str:
    """Return the lines that the local stack adds to ``kafka/server.properties``."""
    listeners = f"PLAINTEXT://{layout.HOST}:{port},CONTROLLER://{layout.HOST}:{controller_port}"
    return "\n".join(
        [
            "",
            "# --- added by the local stack",
            f"listeners={listeners}",
            f"advertised.listeners=PLAINTEXT://{layout.HOST}:{port}",
            f"controller.quorum.voters=1@{layout.HOST}:{controller_port}",
            f"log.dirs={data}",
            "",
        ]
    )


def advertised_port(properties: str) -> int:
    """Read the port from a configuration that :func:`local_properties` completed.

    Raises:
        ValueError: the configuration advertises no address.
    """
    for line in properties.splitlines():
        if line.startswith("advertised.listeners="):
            return int(line.rsplit(":", 1)[1])
    raise ValueError("no advertised.listeners")
