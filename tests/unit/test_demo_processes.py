"""Processes of the demo end with everything they started."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.processes import MARK, Child, end, kill_marked, marked
from demo.run import alone_in
from encore.errors import EncoreError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def runaway(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, MARK: str(tmp_path)}
    process = subprocess.Popen(SLEEP, env=environment, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def wait_until_ended(child: Child) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        code = child.exit_code()
        if code is not None:
            return code
        time.sleep(0.02)
    raise AssertionError("the process did not end")


def test_a_process_is_a_command_whose_output_is_in_its_log(tmp_path: Path) -> None:
    child = Child("version", ["--version"], tmp_path)
    assert wait_until_ended(child) == 0
    assert child.last_lines().startswith("encore ")
    assert child.log_file == tmp_path / "logs" / "demo-version.log"


def test_whatever_bears_the_mark_is_killed_in_whichever_group_it_is(
    tmp_path: Path, runaway: "subprocess.Popen[bytes]"
) -> None:
    assert [process.pid for process in marked(tmp_path)] == [runaway.pid]
    assert kill_marked(tmp_path) == 1
    assert marked(tmp_path) == []


def test_processes_of_another_home_are_left_alone(
    tmp_path: Path, runaway: "subprocess.Popen[bytes]"
) -> None:
    assert kill_marked(tmp_path / "other") == 0
    assert runaway.poll() is None


def test_ending_does_not_wait_when_hurried(tmp_path: Path) -> None:
    child = Child("settings", ["settings", "--json"], tmp_path)
    end([child], 60, lambda: True)
    kill_marked(tmp_path)
    end([child], 30, lambda: False)
    assert child.exit_code() is not None


def test_a_second_demo_in_the_same_home_is_refused(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path),
        pytest.raises(EncoreError, match="is running in"),
        alone_in(tmp_path),
    ):
        raise AssertionError("two demos in one home")
    with alone_in(tmp_path):
        pass
