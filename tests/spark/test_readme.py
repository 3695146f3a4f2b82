"""What the README tells to type is what there is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from encore.paths import PROJECT_ROOT

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
SUBMIT = [line for line in README.splitlines() if "spark-submit --properties-file" in line]


def here(line: str) -> str:
    """Return a line of the README with the programs of this environment."""
    return line.replace(".venv/bin/", f"{BIN}/")


def test_there_is_a_plain_line_for_each_job() -> None:
    assert [line.split()[-1] for line in SUBMIT] == ["streaming/job.py", "recommender/job.py"]


@pytest.mark.spark
@pytest.mark.parametrize("line", SUBMIT)
def test_the_plain_spark_submit_lines_reach_their_jobs(line: str) -> None:
    script = here(f'eval "$(.venv/bin/encore env)"\n{line} --help\n')
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=PROJECT_ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "usage: job.py" in done.stdout


def test_every_command_and_file_of_the_readme_exists() -> None:
    help_text = subprocess.run(
        [str(BIN / "encore"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"^  (\w+)  ", help_text, flags=re.MULTILINE))
    told = set(re.findall(r"\.venv/bin/encore (\w+)", README))
    assert told <= known
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert f"\n{target}:" in (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^):]+)\)", README) + re.findall(r"-f (\S+\.yml)", README)
    assert [link for link in links if not (PROJECT_ROOT / link).exists()] == []
