"""Commands of the recommender: train, live, recommend, runs, rollback, model, evaluate, tune."""

import json
import signal
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from encore.errors import EncoreError
from encore.stack.endpoints import database_url, redis_url
from recommender import evaluate_command, tune_command

app = typer.Typer()
app.command()(evaluate_command.evaluate)
app.command()(tune_command.tune)

INTERRUPTED = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def train(
    every: Annotated[
        str | None,
        typer.Option(help="Keep refreshing: a span such as 2m, from start to start."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the model's first factors.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Publish also what is worse than the published run.")
    ] = False,
) -> None:
    """Train the model on what listeners did and publish everyone's recommendations."""
    from encore.settings import settings
    from encore.spans import parse_span
    from recommender.engine import engine_of, training_command
    from recommender.runs import only_one_training
    from recommender.submit import repeat, run_job

    span = parse_span(every) if every is not None else None
    url = (
        database_url()
    )  # says at once that there is no database, before Spark takes seconds to start
    arguments = ["--seed", str(seed), *(["--force"] if force else [])]

    def once() -> int:
        return run_job(*training_command(engine_of(settings(), url), arguments))

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if span is None:
            raise typer.Exit(once())
        repeat(once, span)
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

    run(database_url(), redis_url(), settings(), once=once)


@app.command()
def recommend(
    user_id: Annotated[str, typer.Argument(help="Whom to recommend to.")],
    n: Annotated[int, typer.Option("-n", help="How many.", min=1, max=1000)] = 10,
    as_json: AsJson = False,
) -> None:
    """Print what to recommend to a listener, with the source and the reason of each row."""
    from rich.text import Text

    from database.engine import transaction
    from encore.console import console
    from recommender.answers import recommend_to
    from recommender.tables import answer_header, answer_table

    with transaction(database_url(), application_name="encore recommend") as cursor:
        answer = recommend_to(cursor, user_id, n)
    if as_json:
        typer.echo(json.dumps(answer.as_dict(), indent=2, ensure_ascii=False))
        return
    printed = console()
    for line in answer_header(answer, datetime.now(UTC)):
        printed.print(Text(line))
    if answer.recommendations:
        printed.print(answer_table(answer))
    else:
        printed.print(Text("there is nothing to recommend: no items, or none that is not known"))


@app.command()
def rollback(
    run: Annotated[
        int | None, typer.Argument(help="Run to go back to. Default: the one before.")
    ] = None,
) -> None:
    """Show readers an older run again, at once and as it was."""
    from recommender.runs import no_training
    from recommender.switch import roll_back

    url = database_url()
    with no_training(url):
        old, new = roll_back(url, run)
    typer.echo(f"run {old} is superseded; readers see run {new} again")


@app.command()
def model(
    folder: Annotated[Path, typer.Argument(help="Folder to write the files into.")],
    run: Annotated[int | None, typer.Option(help="Which run. Default: the published one.")] = None,
) -> None:
    """Write the files of a model (Parquet and JSON) into a folder."""
    from database.engine import transaction
    from recommender.artifact import export, read_files
    from recommender.runs import published_run

    with transaction(database_url(), application_name="encore model") as cursor:
        published = published_run(cursor)
        number = run if run is not None else (published or {}).get("model_run_id")
        if number is None:
            raise EncoreError("no run is published yet: `encore train` makes one")
        files = read_files(cursor, number)
    export(files, folder)
    typer.echo(f"run {number}: {', '.join(sorted(files))} in {folder}")


@app.command()
def runs(as_json: AsJson = False) -> None:
    """Print the model runs that are kept, with their quality against popularity.

    Warns if less is played of what is shown than before.
    """
    from database.engine import transaction
    from encore.console import console
    from recommender.outcomes import fallen
    from recommender.runs import list_runs
    from recommender.tables import runs_table

    with transaction(database_url(), application_name="encore runs") as cursor:
        found = list_runs(cursor)
        warning = fallen(cursor)
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
    else:
        console().print(runs_table(found))
    if warning:
        typer.echo(f"warning: {warning}", err=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
