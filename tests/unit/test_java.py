"""Finding Java: versions as they are printed, and what a person is told when it is missing."""

from pathlib import Path

import pytest

from encore.errors import EncoreError
from encore.stack.java import find_java, java_candidate, parse_java_version


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Forget which Java was found before."""
    find_java.cache_clear()


def fake_java(folder: Path, version: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    return java


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("Unable to locate a Java Runtime.", None),
    ],
)
def test_versions_are_read_as_java_prints_them(printed: str, version: int | None) -> None:
    assert parse_java_version(printed) == version


def test_java_home_goes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = fake_java(tmp_path, "21.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == java


def test_an_old_java_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_java(tmp_path, "11.0.22")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EncoreError, match=r"is Java 11, which is too old.*openjdk-17"):
        find_java()


def test_no_java_at_all_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EncoreError, match=r"^there is no java on the PATH\. Install Java 17.*$"):
        find_java()


def test_a_java_home_without_java_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoreError, match="holds no bin/java"):
        java_candidate(str(tmp_path))
