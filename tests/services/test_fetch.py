"""Fetching and unpacking: once, whole, and with one line when it fails."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from encore.errors import EncoreError
from encore.paths import cache_home
from encore.settings import settings
from encore.stack import artifacts
from encore.stack.account import reachable_folder, unprivileged_account
from encore.stack.artifacts import kafka_jars, postgres_archive, pyspark_home, spark_jars
from encore.stack.binaries import postgres_home

pytestmark = pytest.mark.services


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Use a cache that holds the jars already but nothing unpacked."""
    postgres_archive()
    kept = cache_home()
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "jars").symlink_to(kept / "jars")
    monkeypatch.setenv("ENCORE_CACHE", str(cache))
    settings.cache_clear()
    yield cache
    shutil.rmtree(reachable_folder(cache / "postgres", unprivileged_account()))
    monkeypatch.undo()
    settings.cache_clear()


def module(jar: Path) -> str:
    return jar.stem.rpartition("-")[0]


def test_spark_gets_only_what_pyspark_does_not_ship() -> None:
    shipped = {module(jar) for jar in (pyspark_home() / "jars").glob("*.jar")}
    fetched = {module(jar) for jar in spark_jars()}
    assert fetched == {
        "spark-sql-kafka-0-10_2.13",
        "spark-token-provider-kafka-0-10_2.13",
        "kafka-clients",
        "commons-pool2",
    }
    assert not fetched & shipped


def test_the_broker_has_an_implementation_to_log_with() -> None:
    assert {"kafka_2.13", "log4j-slf4j-impl", "log4j-core"} <= {module(jar) for jar in kafka_jars()}


def test_unpacking_twice_at_once_gives_one_whole_server(fresh_cache: Path) -> None:
    account = unprivileged_account()
    homes: list[Path] = []
    workers = [
        threading.Thread(target=lambda: homes.append(postgres_home(account))) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert len(homes) == 2
    assert homes[0] == homes[1]
    told = subprocess.run(
        [str(homes[0] / "bin" / "postgres"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("postgres (PostgreSQL) 18.")
    assert [one.name for one in homes[0].parent.iterdir() if one.name.startswith(".")] == []


def test_jars_that_cannot_be_fetched_are_one_line_and_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    (project / "kafka").mkdir(parents=True)
    (project / "kafka" / "ivy.xml").write_text("<ivy-module>this is no XML")
    monkeypatch.setattr(artifacts, "PROJECT_ROOT", project)
    with pytest.raises(
        EncoreError, match=r"could not fetch the jars of kafka.*Details: (.*)\.log$"
    ):
        kafka_jars()
    assert not list((cache_home() / "jars").glob(".kafka-*"))


def test_a_fetch_leaves_no_trace_of_java_on_the_terminal() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "encore", "jars"], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    assert len(told.stdout.strip().split(",")) == 4
