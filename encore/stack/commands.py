"""Commands of the local stack: up, down, status, fetch, jars, env, psql, topics."""

import json
import os
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from encore.console import console
from encore.errors import EncoreError, ServiceUnavailableError

if TYPE_CHECKING:
    from encore.stack.local import ServiceStatus
    from encore.topics import TopicDescription


app = typer.Typer()
topics_app = typer.Typer(invoke_without_command=True)
app.add_typer(topics_app, name="topics")

Services = Annotated[
    list[str] | None,
    typer.Argument(metavar="[kafka|postgres|redis]...", help="Default: all but redis to start."),
]


@app.command("up")
def up_command(services: Services = None) -> None:
    """Start Kafka and PostgreSQL, and Redis if named, or check those that the settings name."""
    from encore.stack import local

    local.up(services or local.SERVICES)


@app.command("down")
def down_command(
    services: Services = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete their data as well.")] = False,
) -> None:
    """Stop the local Kafka, PostgreSQL and Redis. What is on disk stays."""
    from encore.stack import local

    if wipe:
        local.wipe(services or local.EVERY)
    elif not local.down(services or local.EVERY):
        typer.echo("nothing of ours was running")


@app.command("status")
def status_command(
    services: Services = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask every service whether it works. Exits 3 if one does not."""
    from encore.stack import local

    found = local.status(services or ())
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        console().print(_status_table(found))
    if any(one.health is not local.Health.RUNNING for one in found):
        raise typer.Exit(ServiceUnavailableError.exit_code)


def _status_table(found: "list[ServiceStatus]") -> Table:
    table = Table("service", "health", "pid", "detail", "endpoint")
    for column in table.columns:
        column.overflow = "fold"
    for one in found:
        whose = "external" if one.external else str(one.pid or "")
        table.add_row(one.name, one.health.value, whose, one.detail, one.endpoint)
    return table


@app.command("fetch")
def fetch_command() -> None:
    """Fetch the jars and PostgreSQL's programs that are not in the cache yet.

    Once for each installation, Spark is run for half a minute so that it starts sooner ever after.
    """
    from encore.rehearsal import make_archive
    from encore.stack.account import unprivileged_account
    from encore.stack.artifacts import kafka_jars, spark_jars
    from encore.stack.binaries import postgres_home

    kafka_jars()
    spark_jars()
    postgres_home(unprivileged_account())
    make_archive()


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


@app.command("env")
def env_command(
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Print DATABASE_URL, password included.")
    ] = False,
) -> None:
    """Print shell lines that let plain psql and spark-submit work: eval "$(encore env)"."""
    from encore.stack.shell import export_lines, shell_environment

    for line in export_lines(shell_environment(with_secrets=with_secrets)):
        typer.echo(line)


@app.command("jars")
def jars_command() -> None:
    """Print the jars for spark-submit --jars, fetching them if needed."""
    from encore.spark import jar_list

    typer.echo(jar_list())


@topics_app.callback()
def topics_command(context: typer.Context) -> None:
    """List the topics with partitions, retention and offsets; `create` those that are missing."""
    from encore.stack.endpoints import kafka_bootstrap_servers
    from encore.topics import describe

    if context.invoked_subcommand is None:
        console().print(_topic_table(describe(kafka_bootstrap_servers())))


@topics_app.command("create")
def create_topics_command() -> None:
    """Create the topics that are missing, as the settings say."""
    from encore.settings import settings
    from encore.stack.endpoints import kafka_bootstrap_servers
    from encore.topics import ensure_topics

    ensure_topics(kafka_bootstrap_servers(), settings().topics, settings())


def _topic_table(found: "list[TopicDescription]") -> Table:
    table = Table("topic", "partitions", "kept", "oldest", "end")
    for one in found:
        days = f"{one.retention_ms / 86_400_000:g} days"
        kept = "newest of a key" if one.cleanup_policy == "compact" else days
        table.add_row(one.name, str(one.partitions), kept, f"{one.beginning:,}", f"{one.end:,}")
    return table
