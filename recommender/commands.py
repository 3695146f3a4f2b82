"""Commands of the recommender: train, recommend, runs."""

import json
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from encore.errors import EncoreError, UsageError
from encore.stack.endpoints import database_url

app = typer.Typer()

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


@app.command()
def evaluate(
    data: Annotated[
        Path | None, typer.Option(help="Test on events of a CSV or Parquet file, split by time.")
    ] = None,
    split_files: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Test on a published split: TRAIN TEST, a line a user `user item …`."),
    ] = None,
    user: Annotated[str, typer.Option(help="Column of the listener.")] = "user",
    item: Annotated[str, typer.Option(help="Column of the item.")] = "item",
    time: Annotated[str, typer.Option(help="Column of the time.")] = "time",
    weight: Annotated[str | None, typer.Option(help="Column of a rating or weight.")] = None,
    at_least: Annotated[
        float | None, typer.Option(help="What a weight must be to count as liking.")
    ] = None,
    models: Annotated[str | None, typer.Option(help="Some models only, comma-separated.")] = None,
    rank: Annotated[int | None, typer.Option(help="ALS_RANK of this run.", min=1)] = None,
    iterations: Annotated[int | None, typer.Option(help="ALS_ITERATIONS.", min=1)] = None,
    regularization: Annotated[float | None, typer.Option(help="ALS_REGULARIZATION.")] = None,
    alpha: Annotated[float | None, typer.Option(help="ALS_ALPHA.")] = None,
    ease_items: Annotated[
        int, typer.Option(help="Most popular items in EASE: 4 bytes for each pair of them.")
    ] = 20_000,
    neighbours: Annotated[int, typer.Option(help="Neighbours of an item in knn.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Seed of factors and resampling.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a row a model as JSON.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw accuracy against training time (.svg, .png).")
    ] = None,
) -> None:
    """Compare all models on what listeners came to next: the domain's data, or any file."""
    from dataclasses import replace

    from rich.console import Console

    from encore.settings import settings
    from recommender import evaluation
    from recommender.comparison import Left, Result, compare
    from recommender.files import Columns, read_events, read_split
    from recommender.job import als_parameters

    if data and split_files:
        raise UsageError("--data and --split-files: one of them")
    current = settings()
    given: dict[str, Any] = {
        "rank": rank,
        "iterations": iterations,
        "regularization": regularization,
        "alpha": alpha,
    }
    parameters = replace(
        als_parameters(current, seed),
        **{name: value for name, value in given.items() if value is not None},
    )
    every = evaluation.makers(current, parameters, ease_items=ease_items, neighbours=neighbours)
    names = evaluation.chosen(models, every)
    if split_files:
        split = read_split(*split_files)
    elif data:
        split = read_events(
            data, Columns(user, item, time, weight, at_least), current.train_test_share
        )
    else:
        from recommender.domain import read_domain

        split = read_domain(database_url(), current)
    typer.echo(evaluation.headline(split))

    def tell(found: Result | Left) -> None:
        if isinstance(found, Left):
            typer.echo(f"{found.model} takes no part: {found.reason}", err=True)
        else:
            typer.echo(f"{found.model}: fitted in {found.fit_s:.1f} s", err=True)

    with evaluation.session(names):
        results = compare(split, [every[name]() for name in names], tell, seed)
    # A file or a pipe has no width of its own, and the table needs some.
    Console(width=None if sys.stdout.isatty() else 120).print(evaluation.result_table(results))
    if json_file:
        evaluation.write_json(results, json_file)
    if picture:
        evaluation.draw(results, picture, evaluation.headline(split))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
