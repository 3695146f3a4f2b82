"""Options that several commands share: of the data to compare models on, and of ALS."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class By(StrEnum):
    """What listeners are told apart by."""

    COUNTRY = "country"
    ACTIVITY = "activity"


Data = Annotated[Path | None, typer.Option(help="Events of a CSV or Parquet file, split by time.")]
SplitFiles = Annotated[
    tuple[Path, Path] | None,
    typer.Option(help="A published split: TRAIN TEST, a line a user `user item item …`."),
]
User = Annotated[str, typer.Option(help="Column of the listener.")]
Item = Annotated[str, typer.Option(help="Column of the item.")]
Time = Annotated[str, typer.Option(help="Column of the time.")]
Weight = Annotated[str | None, typer.Option(help="Column of a rating or weight.")]
AtLeast = Annotated[float | None, typer.Option(help="What a weight must be to count as liking.")]
Items = Annotated[Path | None, typer.Option(help="A CSV or Parquet file of the items of --data.")]
Genres = Annotated[str | None, typer.Option(help="Column of --items with genres, `a|b`.")]
AsOf = Annotated[
    str | None, typer.Option(help="Know nothing later: a time such as 2026-05-01T12:00, UTC.")
]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn.")]
Rank = Annotated[int | None, typer.Option(help="ALS_RANK of this run.", min=1)]
Iterations = Annotated[int | None, typer.Option(help="ALS_ITERATIONS of this run.", min=1)]
Regularization = Annotated[float | None, typer.Option(help="ALS_REGULARIZATION of this run.")]
Alpha = Annotated[float | None, typer.Option(help="ALS_ALPHA of this run.")]
