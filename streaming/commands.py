"""Commands of the stream: ``encore stream``."""

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

JOB = Path(__file__).with_name("job.py")


@app.command()
def stream(
    available_now: Annotated[
        bool, typer.Option("--available-now", help="Count what is in Kafka by now, then end.")
    ] = False,
) -> None:
    """Count events into the feature tables, until stopped."""
    from encore.spark import spark_environment, spark_submit_command

    arguments = ["--available-now"] if available_now else []
    command = spark_submit_command(JOB, arguments, app_name="encore-stream")
    os.execvpe(command[0], command, {**os.environ, **spark_environment()})  # noqa: S606
