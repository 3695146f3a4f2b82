"""Submitting a job: by our own command line and by the plain line of the README."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import py4j
import pyspark
import pytest

from encore.paths import PROJECT_ROOT, encore_home
from encore.spark import (
    DEFAULTS_FILE,
    connector_jars,
    read_properties,
    submission,
)
from streaming.commands import CONF

pytestmark = pytest.mark.spark

JOB = """
import json, sys
from pyspark.sql import SparkSession
import encore.events

spark = SparkSession.builder.getOrCreate()
names = ["spark.sql.session.timeZone", "spark.sql.streaming.metricsEnabled",
         "spark.app.name", "spark.extra", "spark.ui.enabled"]
loader = spark._jvm.java.lang.Thread.currentThread().getContextClassLoader()
kafka = loader.loadClass("org.apache.spark.sql.kafka010.KafkaSourceProvider")
worker = spark.sparkContext.range(1).map(lambda _: sys.executable).first()
spark._jvm.org.slf4j.LoggerFactory.getLogger("test.Noise").warn("a warning of Spark's")
told = [spark.conf.get(name, "") for name in names] + [kafka.getSimpleName(), worker]
print("TOLD " + json.dumps(told + sys.argv[1:]))
spark.stop()
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Write a job that tells how it was started."""
    path = tmp_path / "job.py"
    path.write_text(JOB)
    return path


def told(output: str) -> list[Any]:
    line = next(line for line in output.splitlines() if line.startswith("TOLD "))
    found: list[Any] = json.loads(line.removeprefix("TOLD "))
    return found


def test_a_job_runs_with_our_jars_settings_and_python(job: Path) -> None:
    submitted = submission(
        job,
        ["one", "two words"],
        master="local[1]",
        app_name="trial",
        extra_conf={"spark.extra": "7"},
    )
    done = subprocess.run(
        submitted.command,
        env={**os.environ, **submitted.environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    assert told(done.stdout) == [
        "UTC",
        "true",
        "trial",
        "7",
        "false",
        "KafkaSourceProvider",
        sys.executable,
        "one",
        "two words",
    ]
    noise = encore_home() / "logs" / "spark-trial.log"
    assert "a warning of Spark's" in noise.read_text()
    assert "a warning of Spark's" not in done.stdout + done.stderr


def test_its_python_loads_nothing_from_a_zip_and_the_task_of_the_stream_once(
    tmp_path: Path,
) -> None:
    job = tmp_path / "job.py"
    job.write_text(
        "import json, sys, pyspark, py4j, os\n"
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "def look(_):\n"
        "    import gc, sys, pyspark, py4j\n"
        "    files = [pyspark.__file__, py4j.__file__]\n"
        "    return ['streaming.task' in sys.modules, gc.get_freeze_count() > 0, files]\n"
        "found = spark.sparkContext.range(1).map(look).first()\n"
        "print('TOLD ' + json.dumps([*found, [pyspark.__file__, py4j.__file__]]))\n"
    )
    submitted = submission(job, [], master="local[1]", app_name="trial", extra_conf=CONF)
    done = subprocess.run(
        submitted.command,
        env={**os.environ, **submitted.environment, "PYTHONPATH": f"{PROJECT_ROOT}:/a * path"},
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    here = [pyspark.__file__, py4j.__file__]
    assert told(done.stdout) == [True, True, here, here]


def test_the_plain_line_works_after_encore_env(job: Path) -> None:
    script = (
        f'eval "$({sys.executable} -m encore env)"\n'
        "spark-submit --properties-file spark/spark-defaults.conf"
        f' --jars "$(encore jars)" --master "local[1]" {job}\n'
    )
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=PROJECT_ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    assert told(done.stdout)[5:] == ["KafkaSourceProvider", sys.executable]
    assert (encore_home() / "logs" / "spark-spark-submit.log").exists()


def test_no_secret_is_on_the_line(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@somewhere/db")
    assert "hush" not in " ".join(submission(job, [], app_name="trial").command)


def test_the_defaults_are_read_as_spark_reads_them() -> None:
    text = "# comment\n\nspark.one   1\n  spark.two\ttwo words  \n"
    assert dict(read_properties(text)) == {"spark.one": "1", "spark.two": "two words"}
    assert dict(read_properties(DEFAULTS_FILE.read_text()))["spark.ui.enabled"] == "false"


def test_a_cluster_gets_no_local_address(job: Path) -> None:
    line = " ".join(submission(job, [], master="yarn", app_name="trial").command)
    assert "127.0.0.1" not in line
    assert ",".join(str(jar) for jar in connector_jars()) in line
