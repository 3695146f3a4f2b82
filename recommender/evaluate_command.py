"""``encore evaluate``: compare all models on the same past and future."""

from pathlib import Path
from typing import Annotated

import typer

from encore.errors import UsageError
from recommender import options


def evaluate(
    data: options.Data = None,
    split_files: options.SplitFiles = None,
    user: options.User = "user",
    item: options.Item = "item",
    time: options.Time = "time",
    weight: options.Weight = None,
    at_least: options.AtLeast = None,
    items: options.Items = None,
    genres: options.Genres = None,
    as_of: options.AsOf = None,
    half_life: Annotated[
        float | None, typer.Option(help="Days in which a weight halves.", min=0.001)
    ] = None,
    models: Annotated[str | None, typer.Option(help="Some models only, comma-separated.")] = None,
    rank: options.Rank = None,
    iterations: options.Iterations = None,
    regularization: options.Regularization = None,
    alpha: options.Alpha = None,
    ease_items: Annotated[
        int, typer.Option(help="Most popular items in EASE: 4 bytes for each pair of them.", min=1)
    ] = 20_000,
    neighbours: Annotated[int, typer.Option(help="Neighbours of an item in knn.", min=1)] = 100,
    left_out: Annotated[
        float | None,
        typer.Option(help="Keep this share of the tested listeners from ALS, and fold them in."),
    ] = None,
    by: Annotated[
        options.By | None, typer.Option(help="Print NDCG of listeners told apart, too.")
    ] = None,
    seed: options.Seed = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a row a model as JSON.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw accuracy against training time (.svg, .png).")
    ] = None,
) -> None:
    """Compare all models on what listeners came to next: the domain's data, or any file."""
    from encore.console import console
    from encore.settings import settings
    from recommender import evaluation
    from recommender.comparison import Left, Result, compare
    from recommender.files import Columns
    from recommender.leaving_out import LeftOut, leave_out
    from recommender.sources import Asked, parameters

    current = settings()
    als = parameters(
        current,
        seed,
        rank=rank,
        iterations=iterations,
        regularization=regularization,
        alpha=alpha,
    )
    every = evaluation.makers(current, als, ease_items=ease_items, neighbours=neighbours)
    names = evaluation.chosen(models, every)
    strangers = [name for name in names if name in evaluation.FOLDING]
    if left_out is not None and not strangers:
        raise UsageError(f"--left-out needs one of --models {', '.join(evaluation.FOLDING)}")
    columns = Columns(user, item, time, weight, at_least)
    asked = Asked(data, split_files, columns, items, genres, as_of)
    split = asked.read(current, seed).split(half_life)
    if by is options.By.COUNTRY and split.train.countries is None:
        raise UsageError("--by country: only the domain's own data have countries")
    typer.echo(evaluation.headline(split))

    def tell(found: Result | Left) -> None:
        if isinstance(found, Left):
            typer.echo(f"{found.model} takes no part: {found.reason}", err=True)
        else:
            typer.echo(f"{found.model}: fitted in {found.fit_s:.1f} s", err=True)

    kept_out: list[LeftOut] = []
    with evaluation.session(names):
        results = compare(split, [every[name]() for name in names], tell, seed)
        if left_out is not None:
            kept_out = [leave_out(split, every[name], left_out, seed) for name in strangers]
    printed = console()
    printed.print(evaluation.result_table(results))
    if by and results:
        printed.print(evaluation.segment_table(results, by))
    for one in kept_out:
        typer.echo(evaluation.left_out_line(one))
    if json_file:
        evaluation.write_json(results, kept_out, json_file)
    if picture:
        evaluation.draw(results, picture, evaluation.headline(split))
