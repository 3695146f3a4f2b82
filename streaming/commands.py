"""Commands of the stream: ``encore stream``, ``encore rejected``."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streaming.rejected.commands import app as rejected_app

app = typer.Typer()
app.add_typer(rejected_app, name="rejected")

JOB = Path(__file__).with_name("job.py")
REBUILD = Path(__file__).with_name("rebuild.py")
CONF = {"spark.python.daemon.module": "streaming.daemon"}


class Source(StrEnum):
    """What features can be rebuilt from."""

    KAFKA = "kafka"


@app.command()
def stream(
    available_now: Annotated[
        bool, typer.Option("--available-now", help="Count what is in Kafka by now, then end.")
    ] = False,
    accept_topic_reset: Annotated[
        bool,
        typer.Option(
            "--accept-topic-reset",
            help="Count a topic that was deleted and made anew from its beginning.",
        ),
    ] = False,
) -> None:
    """Count events into the feature tables, until stopped."""
    from encore.spark import submission

    arguments = ["--available-now"] if available_now else []
    arguments += ["--accept-topic-reset"] if accept_topic_reset else []
    job = submission(JOB, arguments, app_name="encore-stream", extra_conf=CONF)
    os.execvpe(job.command[0], job.command, {**os.environ, **job.environment})  # noqa: S606


@app.command()
def rebuild(
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this table; repeatable.")
    ] = None,
    source: Annotated[Source, typer.Option("--from", help="What to count from.")] = Source.KAFKA,  # noqa: ARG001 (there is one)
) -> None:
    """Count the feature tables anew beside the live ones, and exchange them in one transaction."""
    from encore.spark import submission

    arguments = [word for name in table or () for word in ("--table", name)]
    job = submission(REBUILD, arguments, app_name="encore-rebuild", extra_conf=CONF)
    os.execvpe(job.command[0], job.command, {**os.environ, **job.environment})  # noqa: S606
