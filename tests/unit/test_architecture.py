"""The rules between folders, held by a test."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from encore.paths import PROJECT_ROOT

PARTS = ("kafka", "spark")


def test_no_folder_imports_another_that_it_may_not() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [str(linter), "--no-cache"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("part", PARTS)
def test_folders_named_like_libraries_hold_no_python(part: str) -> None:
    assert list((PROJECT_ROOT / part).rglob("*.py")) == []


def test_the_library_kafka_is_found_from_the_root_of_the_project() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import kafka; print(kafka.__file__)"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "site-packages" in done.stdout


def test_every_package_is_listed_in_the_distribution() -> None:
    declared = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = declared["tool"]["setuptools"]["packages"]
    tops = {name.split(".")[0] for name in listed}
    found = {
        str(init.parent.relative_to(PROJECT_ROOT)).replace("/", ".")
        for top in tops
        for init in (PROJECT_ROOT / top).rglob("__init__.py")
    }
    assert set(listed) == found
    assert listed == sorted(listed)


def test_no_two_test_files_share_a_name() -> None:
    names = [path.name for path in (PROJECT_ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
