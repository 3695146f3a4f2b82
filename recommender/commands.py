"""Commands of the recommender: train, live, recommend, runs, evaluate, tune."""

import json
import signal
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from encore.errors import EncoreError
from encore.stack.endpoints import database_url
from recommender import evaluate_command, tune_command

app = typer.Typer()
app.command()(evaluate_command.evaluate)
app.command()(tune_command.tune)

JOB = Path(__file__).with_name("job.py")
APP_NAME = "encore-train"
INTERRUPTED = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def train(
    every: Annotated[
        str | None,
        typer.Option(help="Keep refreshing: a span such as 2m, from start to start."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the model's first factors.")] = 1,
) -> None:
    """Train the model on what listeners did and publish everyone's recommendations."""
    from encore.spans import parse_span
    from encore.spark import spark_environment, spark_submit_command
    from recommender.runs import only_one_training
    from recommender.submit import repeat, run_job

    span = parse_span(every) if every is not None else None
    url = (
        database_url()
    )  # says at once that there is no database, before Spark takes seconds to start
    command = spark_submit_command(JOB, ["--seed", str(seed)], app_name=APP_NAME)
    environment = spark_environment()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if span is None:
            raise typer.Exit(run_job(command, environment))
        repeat(lambda: run_job(command, environment), span)
    except KeyboardInterrupt:
        with suppress(EncoreError), only_one_training(url):
            pass  # puts the interrupted run on record as failed
        typer.echo("stopped; readers keep the last published run", err=True)
        raise typer.Exit(0 if span is not None else INTERRUPTED) from None


@app.command()
def live(
    once: Annotated[
        bool, typer.Option("--once", help="End when nobody is queued any more.")
    ] = False,
) -> None:
    """Fold what listeners do into their lists within seconds, until stopped.

    Run as many as there are cores to spare: they share the work.
    """
    from encore.settings import settings
    from recommender.live.job import run

    run(database_url(), settings(), once=once)


@app.command()
def recommend(
    user_id: Annotated[str, typer.Argument(help="Whom to recommend to.")],
    n: Annotated[int, typer.Option("-n", help="How many.", min=1, max=1000)] = 10,
    as_json: AsJson = False,
) -> None:
    """Print what to recommend to a listener, with the source and the reason of each row."""
    from rich.console import Console
    from rich.text import Text

    from database.engine import transaction
    from recommender.answers import recommend_to
    from recommender.tables import answer_header, answer_table

    with transaction(database_url(), application_name="encore recommend") as cursor:
        answer = recommend_to(cursor, user_id, n)
    if as_json:
        typer.echo(json.dumps(answer.as_dict(), indent=2, ensure_ascii=False))
        return
    console = Console()
    for line in answer_header(answer, datetime.now(UTC)):
        console.print(Text(line))
    if answer.recommendations:
        console.print(answer_table(answer))
    else:
        console.print(Text("there is nothing to recommend: no items, or none that is not known"))


@app.command()
def runs(as_json: AsJson = False) -> None:
    """Print the model runs that are kept, with their quality against popularity."""
    from rich.console import Console

    from database.engine import transaction
    from recommender.runs import list_runs
    from recommender.tables import runs_table

    with transaction(database_url(), application_name="encore runs") as cursor:
        found = list_runs(cursor)
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
    else:
        Console().print(runs_table(found))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
