"""Commands of the verification: ``encore verify``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from encore.settings import settings
from verification.tables import ALL_TABLES

app = typer.Typer()

JOB = Path(__file__).with_name("job.py")
# The JVM lives for seconds and runs each plan once. To compile its code for a long life takes a
# third of the time of a small verification, and spares hardly any of a large one. Without that
# compiler Java reserves a cache for compiled code which a large verification fills.
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"


@app.command()
def verify(
    accounting: Annotated[
        bool,
        typer.Option("--accounting", help="Only whether the counts add up: no Spark, seconds."),
    ] = False,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", help="Only this table. May be given again.", metavar="TABLE"),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result to this file as well.")
    ] = None,
) -> None:
    """Count everything in Kafka again and compare every row. Exits 1 where anything differs."""
    _refuse_unknown(tables or [])
    if accounting:
        if tables:
            raise typer.BadParameter("--accounting looks at no table: leave out --table.")
        _account(json_file)
        return
    from encore.spark import submission

    arguments = [word for table in tables or [] for word in ("--table", table)]
    if json_file:
        arguments += ["--json", str(json_file)]
    # Tables reach Spark as files of this machine, so it runs here, whatever runs the stream.
    master = settings().spark_master
    here = master if master.startswith("local") else "local[*]"
    job = submission(JOB, arguments, app_name="encore-verify", master=here)
    environment = {**os.environ, **job.environment}
    environment["SPARK_SUBMIT_OPTS"] += f" {QUICK_JVM}"
    os.execvpe(job.command[0], job.command, environment)  # noqa: S606


def _refuse_unknown(tables: list[str]) -> None:
    unknown = sorted(set(tables) - set(ALL_TABLES))
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: there is no such table. There are {', '.join(ALL_TABLES)}.",
            param_hint="--table",
        )


def _account(json_file: Path | None) -> None:
    import json

    from encore.stack.endpoints import database_url, kafka_bootstrap_servers
    from verification.closing import account
    from verification.report import accounting_lines, accounting_verdict

    found = account(kafka_bootstrap_servers(), database_url(), settings().topics)
    for line in accounting_lines(found):
        typer.echo(line)
    typer.echo(accounting_verdict(found))
    if json_file:
        json_file.write_text(json.dumps(found.as_dict(), indent=2) + "\n", encoding="utf-8")
    if found.problems:
        raise typer.Exit(1)
