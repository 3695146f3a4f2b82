"""The command line as its user meets it: exit codes, one-line errors, no stack traces."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from encore.errors import (
    DeliveryError,
    EncoreError,
    ServiceUnavailableError,
    SettingsError,
)


def encore(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "encore", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_version_is_the_distributions() -> None:
    assert encore("--version").stdout == f"encore {version('encore')}\n"


def test_every_part_brings_its_commands() -> None:
    told = encore("--help").stdout
    commands = ["settings", "up", "down", "status", "env", "psql", "jars", "topics", "fetch"]
    commands += ["migrate", "produce", "replay", "stream", "rebuild", "rejected", "verify"]
    commands += ["train", "live", "recommend", "runs", "rollback", "model", "evaluate", "tune"]
    commands += ["demo", "soak", "serve", "keys"]
    listed = {line.split()[0] for line in told.splitlines() if line.startswith("  ")}
    assert set(commands) <= listed


def test_no_two_parts_bring_the_same_command() -> None:
    parts = [entry.load() for entry in entry_points(group="encore.commands")]
    names = [
        command.name or getattr(command.callback, "__name__", "")
        for part in parts
        for command in part.registered_commands
    ]
    assert sorted(names) == sorted(set(names))


def test_a_wrong_setting_is_one_line_and_exit_code_two() -> None:
    told = encore("settings", KAFKA_PORT="none")
    assert told.returncode == SettingsError.exit_code
    assert told.stderr.startswith("error: KAFKA_PORT='none' is not allowed")
    assert "Traceback" not in told.stderr


def test_a_service_that_was_never_started_is_told_with_what_to_do(tmp_path: Path) -> None:
    told = encore("psql", ENCORE_HOME=str(tmp_path), DATABASE_URL="", PATH=fake_psql(tmp_path))
    assert told.returncode == ServiceUnavailableError.exit_code
    assert told.stderr == (
        "error: there is no postgres here yet. Start it with `encore up postgres`, "
        "or set DATABASE_URL to one that runs.\n"
    )


def test_psql_gets_the_password_from_its_environment_never_from_its_arguments(
    tmp_path: Path,
) -> None:
    url = "postgresql://me:s%40cret@db.example:5433/books_db"
    told = encore("psql", "-c", "SELECT 1", DATABASE_URL=url, PATH=fake_psql(tmp_path))
    assert told.stdout.splitlines() == [
        "arguments: -c SELECT 1",
        "me s@cret db.example 5433 books_db",
    ]


def test_a_missing_psql_names_the_package_that_has_it(tmp_path: Path) -> None:
    told = encore("psql", PATH=str(tmp_path))
    assert told.returncode == EncoreError.exit_code
    assert (
        told.stderr == "error: there is no psql on the PATH. Debian, Ubuntu: postgresql-client.\n"
    )


def fake_psql(folder: Path) -> str:
    """Put a ``psql`` that tells how it was called into a folder; return a PATH with it."""
    script = folder / "psql"
    script.write_text(
        '#!/bin/sh\necho "arguments: $*"\necho "$PGUSER $PGPASSWORD $PGHOST $PGPORT $PGDATABASE"\n'
    )
    script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_settings_as_json_hide_secrets() -> None:
    told = encore("settings", "--json", DATABASE_URL="postgresql://me:hush@somewhere/db")
    rows = {row["name"]: row for row in json.loads(told.stdout)}
    assert rows["DATABASE_URL"]["value"] == "********"
    assert rows["DATABASE_URL"]["source"] == "environment"
    assert rows["STREAM_TRIGGER_SECONDS"]["unit"] == "s"


def test_env_prints_no_password_unless_asked(tmp_path: Path) -> None:
    url = "postgresql://me:hush@db.example:5433/books_db"
    variables = {
        "DATABASE_URL": url,
        "KAFKA_BOOTSTRAP_SERVERS": "k:9092",
        "ENCORE_HOME": str(tmp_path),
    }
    assert "hush" not in encore("env", **variables).stdout
    assert f"export DATABASE_URL={url}" in encore("env", "--with-secrets", **variables).stdout


def test_env_can_be_read_by_a_shell_twice(tmp_path: Path) -> None:
    home = tmp_path / "a folder with 'quotes'"
    lines = encore("env", ENCORE_HOME=str(home)).stdout
    shown = subprocess.run(
        ["sh", "-c", f'{lines}\n{lines}\nprintf "%s\\n" "$ENCORE_HOME" "$PATH"'],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    ).stdout.splitlines()
    assert shown == [str(home), f"{Path(sys.executable).parent}:/usr/bin:/bin"]


def test_an_unknown_command_is_exit_code_two() -> None:
    told = encore("sing")
    assert told.returncode == 2
    assert "No such command 'sing'" in told.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(EncoreError, 1), (SettingsError, 2), (ServiceUnavailableError, 3), (DeliveryError, 4)],
)
def test_each_kind_of_error_has_its_exit_code(error: type[EncoreError], code: int) -> None:
    assert error.exit_code == code
