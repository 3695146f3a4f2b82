"""``encore tune``: search the parameters of ALS."""

from pathlib import Path
from typing import Annotated

import typer

from recommender import options


def tune(
    data: options.Data = None,
    split_files: options.SplitFiles = None,
    user: options.User = "user",
    item: options.Item = "item",
    time: options.Time = "time",
    weight: options.Weight = None,
    at_least: options.AtLeast = None,
    as_of: options.AsOf = None,
    trials: Annotated[int, typer.Option(help="How many choices to try.", min=1)] = 50,
    budget: Annotated[
        str | None, typer.Option("--for", help="Begin no trial after a span such as 10m.")
    ] = None,
    half_life: Annotated[
        bool, typer.Option("--half-life", help="Search the half-life of weights as well.")
    ] = False,
    seed: options.Seed = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every trial as JSON.")
    ] = None,
) -> None:
    """Search the parameters of ALS on the past, and test the best on what came after."""
    from encore.console import console
    from encore.settings import settings
    from encore.spans import parse_span
    from recommender import tuning
    from recommender.evaluation import headline
    from recommender.files import Columns
    from recommender.sources import Asked, parameters

    current = settings()
    span = None if budget is None else parse_span(budget)
    columns = Columns(user, item, time, weight, at_least)
    source = Asked(data, split_files, columns, None, None, as_of).read(current, seed)
    typer.echo(f"tested at the end: {headline(source.split())}")
    typer.echo(f"chosen on: {headline(source.before().split())}")
    done = 0

    def tell(trial: tuning.Trial) -> None:
        nonlocal done
        done += 1
        typer.echo(tuning.trial_line(done, trial), err=True)

    tuned = tuning.tune(
        source,
        parameters(current, seed),
        tuning.Budget(trials, span),
        half_life=half_life,
        tell=tell,
    )
    console().print(tuning.unseen_table(tuned))
    typer.echo(f"best of {len(tuned.trials)} trials, for .env:")
    typer.echo("\n".join(tuned.best.choice.settings()))
    if json_file:
        tuning.write_json(tuned, seed, json_file)
