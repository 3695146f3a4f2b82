"""Faults that tests ask for: at the right moment, once, and only where there is such a moment."""

import signal
from pathlib import Path

import pytest

from encore.errors import SettingsError
from streaming.faults import Fault, die_once


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr("os.kill", lambda _, number: found.append(number))
    return found


def test_the_job_dies_when_it_passes_the_point_for_the_nth_time(kills: list[int]) -> None:
    fault = Fault("before-commit:2")
    fault("before-commit")
    fault("after-commit")
    assert kills == []
    fault("before-commit")
    assert kills == [signal.SIGKILL]
    fault("before-commit")
    assert kills == [signal.SIGKILL]


def test_without_the_setting_nothing_dies(kills: list[int], tmp_path: Path) -> None:
    fault = Fault("")
    fault("before-commit")
    die_once(fault.in_tasks(tmp_path))
    assert kills == []


def test_of_all_tasks_one_dies(kills: list[int], tmp_path: Path) -> None:
    marker = Fault("in-copy").in_tasks(tmp_path / "scratch")
    die_once(marker)
    die_once(marker)
    assert kills == [signal.SIGKILL]


@pytest.mark.parametrize(
    "setting",
    ["nowhere", "before-commit:x", "before-commit:-1", "before-commit:0", "before-commit:²"],
)
def test_a_point_that_is_none_is_refused_with_those_there_are(setting: str) -> None:
    with pytest.raises(SettingsError, match=f"STREAM_FAULT='{setting}'.*after-commit"):
        Fault(setting)
