"""What the doctor says where there is nothing yet: which part, and what to do about it."""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from doctor import checks
from encore.settings import load_settings
from tests.programs import encore_outcome

Usage = namedtuple("Usage", "total used free")


def test_without_services_it_says_how_to_start_them_and_sends_nothing(tmp_path: Path) -> None:
    done = encore_outcome("doctor", "--json", env={"ENCORE_HOME": str(tmp_path)})
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    found = {one["name"]: (one["well"], one["seen"]) for one in told["checks"]}
    assert found["programs"][0]
    for service in ("Kafka", "PostgreSQL"):
        well, seen = found[service]
        assert not well
        assert "encore up" in seen
    assert not {"topics", "migrations", "model"} & found.keys()
    assert (told["hops"], told["stopped"]) == ([], None)


def test_a_full_disk_is_told_with_the_setting_that_moves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 99, 1024**3))
    disks = [one for one in checks.checks(load_settings()) if one.name == "disk"]
    assert [one.well for one in disks] == [False, False]
    assert "1.0 GiB free" in disks[0].seen
    assert ["ENCORE_HOME" in disks[0].advice, "ENCORE_CACHE" in disks[1].advice] == [True, True]
