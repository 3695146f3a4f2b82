"""Commands of the local stack: up, down, status, fetch, psql."""

import json
import os
import shutil
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from encore.errors import EncoreError, ServiceUnavailableError

app = typer.Typer()

Services = Annotated[
    list[str] | None, typer.Argument(metavar="[kafka|postgres]...", help="Default: both.")
]


@app.command("up")
def up_command(services: Services = None) -> None:
    """Start Kafka and PostgreSQL, or check those that the settings name."""
    from encore.stack import local

    local.up(services or local.SERVICES)


@app.command("down")
def down_command(
    services: Services = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete their data as well.")] = False,
) -> None:
    """Stop the local Kafka and PostgreSQL. Their data stay."""
    from encore.stack import local

    if wipe:
        local.wipe(services or local.SERVICES)
    elif not local.down(services or local.SERVICES):
        typer.echo("nothing of ours was running")


@app.command("status")
def status_command(
    services: Services = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask every service whether it works. Exits 3 if one does not."""
    from encore.stack import local

    found = local.status(services or local.SERVICES)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        table = Table("service", "health", "endpoint", "pid", "data", "detail")
        for one in found:
            whose = "external" if one.external else str(one.pid or "")
            table.add_row(one.name, one.health.value, one.endpoint, whose, one.data, one.detail)
        Console().print(table)
    if any(one.health is not local.Health.RUNNING for one in found):
        raise typer.Exit(ServiceUnavailableError.exit_code)


@app.command("fetch")
def fetch_command() -> None:
    """Fetch the jars and PostgreSQL's programs that are not in the cache yet."""
    from encore.stack.account import unprivileged_account
    from encore.stack.artifacts import kafka_jars, spark_jars
    from encore.stack.binaries import postgres_home

    kafka_jars()
    spark_jars()
    postgres_home(unprivileged_account())


@app.command(
    "psql",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def psql_command(context: typer.Context) -> None:
    """Open psql on the database, with host, port, user and password filled in."""
    from encore.stack.shell import psql_environment

    psql = shutil.which("psql")
    if psql is None:
        raise EncoreError("there is no psql on the PATH. Debian, Ubuntu: postgresql-client.")
    os.execve(psql, ["psql", *context.args], {**os.environ, **psql_environment()})  # noqa: S606
