"""The archive of Spark's classes: taken where it fits, and never in the way."""

import os
import subprocess
from pathlib import Path

import pytest

from encore import rehearsal
from encore.spark import CONF_DIR, spark_environment, submission
from encore.stack import class_archive

pytestmark = pytest.mark.spark

MASTER = "local[1]"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.py"
    path.write_text(
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "print(spark.range(7).count())\n"
    )
    return path


def run(job: Path, java_options: str = "") -> "subprocess.CompletedProcess[str]":
    options = f"{os.environ['JDK_JAVA_OPTIONS']} {java_options}"
    submitted = submission(job, (), app_name="trial", master=MASTER)
    return subprocess.run(
        submitted.command,
        env={**os.environ, **submitted.environment, "JDK_JAVA_OPTIONS": options},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_job_takes_its_classes_from_the_archive(job: Path, tmp_path: Path) -> None:
    rehearsal.make_archive()  # the set-up did, unless only pytest was run
    loaded = tmp_path / "loaded-%p.log"
    done = run(job, f"-Xlog:class+load:file={loaded}")
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr[-2000:]
    lines = [line for one in tmp_path.glob("loaded-*.log") for line in one.read_text().splitlines()]
    context = [line for line in lines if " org.apache.spark.SparkContext source: " in line]
    assert [line.endswith("shared objects file (top)") for line in context] == [True]


def test_a_damaged_archive_costs_time_only(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged.jsa"
    damaged.write_bytes(b"no archive " * 1000)
    monkeypatch.setattr(class_archive, "archive_file", lambda: damaged)
    done = run(job)
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr[-2000:]


def test_a_driver_that_a_cluster_starts_gets_none(job: Path) -> None:
    submitted = submission(job, (), app_name="trial", master="yarn")
    assert "SharedArchiveFile" not in " ".join(submitted.command)
    assert submitted.environment["SPARK_CONF_DIR"] == str(CONF_DIR)
    assert spark_environment()["SPARK_CONF_DIR"] == str(CONF_DIR)


def test_where_nothing_can_be_written_it_is_told_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "a file"
    taken.touch()
    monkeypatch.setattr(rehearsal, "empty_folder", lambda: taken / "empty")
    monkeypatch.setattr(rehearsal, "archive_file", lambda: taken / "spark.jsa")
    rehearsal.make_archive()
    told = capfd.readouterr()
    assert "it starts slowly" in told.out + told.err
