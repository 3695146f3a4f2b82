"""Submit Spark jobs with the installed PySpark, the right jars and the project's configuration."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from encore.paths import PROJECT_ROOT, encore_home
from encore.settings import settings
from encore.stack.artifacts import pyspark_home, spark_jars
from encore.stack.class_archive import empty_folder, usable_archive, use_options, write_options
from encore.stack.java import find_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CONF_DIR = PROJECT_ROOT / "spark"
# Spark searches the text of a failed query's plan by a recursive pattern: with the usual stack
# that overflows, and the cause of the failure is lost.
STACK = "-Xss8m"
DEFAULTS_FILE = CONF_DIR / "spark-defaults.conf"
LOG_CONFIG = CONF_DIR / "log4j2.properties"
_PYTHON = CONF_DIR / "python"
_PYTHONS = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")


def connector_jars() -> list[Path]:
    """Return the jars that Spark needs to read Kafka, fetched if they are not in the cache."""
    return spark_jars()


@dataclass(frozen=True, slots=True)
class Submission:
    """A ``spark-submit`` line, and the variables that it needs, to be added to the caller's."""

    command: list[str]
    environment: Mapping[str, str]


def submission(
    job: Path,
    job_args: Sequence[str],
    *,
    master: str | None = None,
    app_name: str,
    extra_conf: Mapping[str, str] | None = None,
    archive_to: Path | None = None,
) -> Submission:
    """Return how a job is submitted.

    Every process on the machine can read the line, so no secret may be in it: a job finds the
    database by itself. ``archive_to`` is a file for the classes that are loaded, see
    :mod:`encore.stack.class_archive`.
    """
    chosen = master or settings().spark_master
    start = _start(app_name, chosen, archive_to)
    conf = {**_where_jars_are(chosen), **_local_address(chosen), **(extra_conf or {})}
    command = [str(pyspark_home() / "bin" / "spark-submit"), "--master", chosen]
    command += ["--name", app_name, "--properties-file", str(DEFAULTS_FILE)]
    command += ["--driver-memory", settings().spark_driver_memory]
    command += ["--driver-java-options", start.java_options]
    for key, value in conf.items():
        command += ["--conf", f"{key}={value}"]
    return Submission([*command, str(job), *job_args], start.environment)


def _where_jars_are(master: str) -> dict[str, str]:
    """Return what lets Spark find the connector's jars.

    A driver that is its own executor has them on its class path, where the archive of classes
    reaches them: ``spark.jars`` are copied, and loaded class by class.
    """
    if master.startswith("local"):
        return {"spark.driver.extraClassPath": os.pathsep.join(map(str, connector_jars()))}
    return {"spark.jars": jar_list()}


def jar_list() -> str:
    """Return the connector's jars as ``--jars`` wants them."""
    return ",".join(str(jar) for jar in connector_jars())


class _Start(NamedTuple):
    java_options: str
    environment: dict[str, str]


def _start(app_name: str, master: str, archive_to: Path | None = None) -> _Start:
    """Return what a driver is started with: an archive of classes needs both to fit."""
    options = [STACK, f"-Dencore.app={app_name}", f'"-Dlog4j2.configurationFile={LOG_CONFIG}"']
    environment = spark_environment()
    if master.startswith("local"):  # elsewhere nobody knows the script
        environment |= {"ENCORE_PYTHON": sys.executable} | dict.fromkeys(_PYTHONS, str(_PYTHON))
    archive = usable_archive(master)
    if archive_to or archive:
        environment["SPARK_CONF_DIR"] = str(empty_folder())
    if archive_to:
        options.append(write_options(archive_to))
    elif archive:
        options.append(use_options(archive))
    return _Start(" ".join(options), environment)


def _local_address(master: str) -> dict[str, str]:
    # A machine's own name need not resolve, and nobody else has to reach a local driver.
    if not master.startswith("local"):
        return {}
    return {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


def spark_environment() -> dict[str, str]:
    """Return the variables that a plain ``spark-submit`` needs, to be added to the caller's.

    Spark's Python workers would otherwise take whichever ``python3`` is on the ``PATH``.
    """
    logs = encore_home() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    python_path = [str(PROJECT_ROOT), *(one for one in inherited if one != str(PROJECT_ROOT))]
    return {
        "JAVA_HOME": str(find_java().resolve().parents[1]),
        **dict.fromkeys(_PYTHONS, sys.executable),
        "PYTHONPATH": os.pathsep.join(one for one in python_path if one),
        "SPARK_CONF_DIR": str(CONF_DIR),
        "SPARK_HOME": str(pyspark_home()),
        "SPARK_SUBMIT_OPTS": f'"-Dencore.logs={logs}"',
    }


def build_session(
    app_name: str,
    *,
    master: str = "local[2]",
    shuffle_partitions: int = 2,
    extra: Mapping[str, str] | None = None,
) -> "SparkSession":
    """Start Spark inside this process, configured as a submitted job would be.

    The JVM reads its surroundings from the process's environment, which is set here.
    """
    from pyspark.sql import SparkSession

    start = _start(app_name, master)
    os.environ.update(start.environment)
    conf = {
        **dict(read_properties(DEFAULTS_FILE.read_text(encoding="utf-8"))),
        **_local_address(master),
        "spark.driver.memory": settings().spark_driver_memory,
        "spark.driver.extraJavaOptions": start.java_options,
        **_where_jars_are(master),
        "spark.sql.shuffle.partitions": str(shuffle_partitions),
        **(extra or {}),
    }
    builder = SparkSession.builder.appName(app_name).master(master)
    for key, value in conf.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def read_properties(text: str) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of a ``spark-defaults.conf``."""
    for line in text.splitlines():
        words = line.split(maxsplit=1)
        if len(words) == 2 and not words[0].startswith("#"):
            yield words[0], words[1].strip()
