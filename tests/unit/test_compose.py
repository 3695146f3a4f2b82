"""What the Compose files name exists: no Docker engine is needed to see that.

Each file is read as Compose reads it: paths are relative to the file, ``${NAME}`` comes from
``.env``, and the root file includes the others.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from encore.cli import build_app
from encore.paths import PROJECT_ROOT
from encore.settings import Settings

PARTS = ("kafka", "database", "spark")
FILES = [PROJECT_ROOT / part / "docker-compose.yml" for part in PARTS]
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rest>[^}]*)\}")
PINNED = re.compile(r"[\w./-]+:\d+\.\d+(\.\d+)?([\w.-]*)$")


def load(file: Path) -> dict[str, Any]:
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def services() -> Iterator[tuple[Path, str, dict[str, Any]]]:
    for file in FILES:
        for name, service in load(file)["services"].items():
            yield file, name, service


SERVICES = list(services())
IDS = [name for _, name, _ in SERVICES]
each_service = pytest.mark.parametrize(("file", "name", "service"), SERVICES, ids=IDS)
each_file = pytest.mark.parametrize("file", FILES, ids=PARTS)


def test_the_root_file_includes_every_part() -> None:
    included = load(PROJECT_ROOT / "docker-compose.yml")["include"]
    assert [PROJECT_ROOT / one for one in included] == FILES


def test_service_names_are_unique_across_the_parts() -> None:
    assert len(IDS) == len(set(IDS))


@each_file
def test_a_part_alone_needs_nothing_that_it_does_not_declare(file: Path) -> None:
    found = load(file)
    assert "networks" not in found, "the project's default network is shared by its name"
    assert found["name"] == load(PROJECT_ROOT / "docker-compose.yml")["name"]
    for name, service in found["services"].items():
        assert set(service.get("depends_on", [])) <= set(found["services"]), name
        assert "network_mode" not in service


@each_file
def test_every_named_volume_is_declared(file: Path) -> None:
    found = load(file)
    used = {
        mount.split(":")[0]
        for service in found["services"].values()
        for mount in service.get("volumes", [])
        if not mount.startswith(".")
    }
    assert used == set(found.get("volumes", {}))


@each_service
def test_every_mounted_file_exists(file: Path, name: str, service: dict[str, Any]) -> None:
    for mount in service.get("volumes", []):
        source, _, rest = mount.partition(":")
        if source.startswith("."):
            assert (file.parent / source).is_file()
            assert rest.endswith(":ro")


@each_service
def test_every_image_is_pinned_and_its_build_exists(
    file: Path, name: str, service: dict[str, Any]
) -> None:
    assert PINNED.match(service["image"])
    if "build" in service:
        context = (file.parent / service["build"]["context"]).resolve()
        assert context == PROJECT_ROOT
        assert (context / service["build"]["dockerfile"]).is_file()
        assert service["image"] == f"encore:{version('encore')}"


@each_service
def test_every_service_is_checked_and_runs_as_a_user_of_its_own(
    file: Path, name: str, service: dict[str, Any]
) -> None:
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["user"] not in {"root", "0"}


@each_service
def test_ports_are_open_to_this_machine_only(
    file: Path, name: str, service: dict[str, Any]
) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("file", [*FILES, PROJECT_ROOT / "docker-compose.yml"])
def test_every_variable_is_a_setting_of_env_example_with_the_same_default(file: Path) -> None:
    example = (PROJECT_ROOT / ".env.example").read_text(encoding="utf-8")
    lines = (line for line in file.read_text(encoding="utf-8").splitlines() if "#" not in line)
    for found in VARIABLE.finditer("\n".join(lines)):
        name, rest = found["name"], found["rest"]
        assert f"# {name}=" in example
        if rest.startswith(":-") and name != "LOG_FORMAT":
            assert rest[2:] == str(Settings.model_fields[name.lower()].default)


@each_file
def test_a_part_alone_reads_the_projects_env_file(file: Path) -> None:
    link = file.parent / ".env"
    assert link.is_symlink()
    assert str(link.readlink()) == "../.env"


@each_file
def test_passwords_come_from_env_and_are_required(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for found in VARIABLE.finditer(text):
        if "PASSWORD" in found["name"]:
            assert found["rest"].startswith(":?")


def test_the_database_container_is_called_as_people_know_it() -> None:
    assert load(FILES[1])["services"]["database"]["container_name"] == "musicDB"


@each_service
def test_every_command_of_ours_is_one_that_the_command_line_takes(
    file: Path, name: str, service: dict[str, Any]
) -> None:
    commands = [service.get("command", []), service["healthcheck"]["test"][1:]]
    for command in commands:
        if command and command[0] == "encore":
            parse(command[1:])


def parse(arguments: list[str]) -> None:
    """Parse arguments with the real command line without running anything."""
    command: Any = get_command(build_app())
    rest = list(arguments)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    assert command.name != "encore", shlex.join(arguments)
    command.make_context(command.name, rest)


def test_the_image_copies_what_exists_and_what_the_build_may_see() -> None:
    dockerfile = (PROJECT_ROOT / "spark" / "Dockerfile").read_text(encoding="utf-8")
    visible = (PROJECT_ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        source
        for line in dockerfile.splitlines()
        if line.startswith("COPY ")
        for source in line.split()[1:-1]
    ]
    assert copied
    for source in copied:
        assert (PROJECT_ROOT / source).exists(), source
        assert f"!{source}" in visible


def test_the_image_has_every_package_of_the_project() -> None:
    with (PROJECT_ROOT / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["tool"]["setuptools"]["packages"]
    dockerfile = (PROJECT_ROOT / "spark" / "Dockerfile").read_text(encoding="utf-8")
    lines = set(dockerfile.splitlines())
    folders = {name.partition(".")[0] for name in packages}
    assert {one for one in folders if f"COPY {one} {one}" not in lines} == set()


def test_the_image_is_pinned_and_does_not_run_as_root() -> None:
    lines = (PROJECT_ROOT / "spark" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"FROM python:3\.11\.\d+-slim-bookworm", lines[1])
    assert [line for line in lines if line.startswith("USER ")] == ["USER encore"]
