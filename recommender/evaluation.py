"""``encore evaluate``: which models take part, and what is shown and written of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table

from encore.errors import UsageError
from encore.settings import Settings
from recommender.als import AlsParameters
from recommender.comparison import SHORT, K, Result, Segments
from recommender.interactions import Split
from recommender.leaving_out import LeftOut, Maker
from recommender.models.blended import Blended
from recommender.models.factors import IMPLICIT, MLLIB, Factors
from recommender.models.linear import Ease, GenreAffinity, NeighbourMean, Neighbours, Popular
from recommender.options import By

_SHOWN = (f"recall@{K}", f"ndcg@{K}", f"ndcg@{SHORT}")
_BEYOND = (f"coverage@{K}",)
FOLDING = (IMPLICIT.name, MLLIB.name)  # models whose folding in --left-out measures


def makers(
    settings: Settings, als: AlsParameters, *, ease_items: int, neighbours: int
) -> Mapping[str, Maker]:
    """Return every model by name, to be made when its turn comes."""
    half_life_days = settings.feature_trend_half_life_hours / 24
    return {
        "popular": Popular,
        "trending": lambda: Popular(half_life_days),
        "genres": GenreAffinity,
        "knn-cosine": lambda: Neighbours("cosine", neighbours),
        "knn-bm25": lambda: Neighbours("bm25", neighbours),
        "knn-mean": lambda: NeighbourMean(neighbours),
        "ease": lambda: Ease(most_items=ease_items),
        "als-implicit": lambda: Factors(IMPLICIT, als),
        "als-implicit-folded": lambda: Factors(IMPLICIT, als, fold=True),
        "blend": lambda: Blended(IMPLICIT, als),
        "als-mllib": lambda: Factors(MLLIB, als),
    }


def chosen(names: str | None, every: Mapping[str, Maker]) -> list[str]:
    """Return the names asked for, or all.

    Raises:
        UsageError: there is no such model.
    """
    wanted = [one.strip() for one in names.split(",")] if names else list(every)
    for one in wanted:
        if one not in every:
            raise UsageError(f"--models {one!r}: there is {', '.join(every)}")
    return wanted


@contextmanager
def session(names: Sequence[str]) -> Iterator[None]:
    """Start Spark if a model needs it, and stop it."""
    if MLLIB.name not in names:
        yield
        return
    from encore.spark import build_session

    spark = build_session("encore-evaluate", master="local[*]")
    try:
        yield
    finally:
        spark.stop()


def headline(split: Split) -> str:
    """Return what the models are fitted to and tested on, in a line."""
    train = split.train
    return (
        f"{train.weights.shape[0]:,} listeners, {train.weights.shape[1]:,} items, "
        f"{train.weights.nnz:,} pairs to learn from; {len(split.tested):,} listeners tested on "
        f"{split.relevant.nnz:,} pairs that came after, {split.cold:,} left out as new"
    )


def result_table(results: Sequence[Result]) -> Table:
    """Return a row a model, best NDCG first; ± is half the bootstrap interval."""
    table = Table("model", *_SHOWN, *_BEYOND, "fit s", "lists s", padding=(0, 0))
    for one in sorted(results, key=lambda one: -one.means[f"ndcg@{K}"].value):
        means = [one.means[name] for name in _SHOWN]
        table.add_row(
            one.model,
            *(f"{mean.value:.4f} ±{(mean.high - mean.low) / 2:.3f}" for mean in means),
            *(f"{one.beyond[name]:.3f}" for name in _BEYOND),
            f"{one.fit_s:.2f}",
            f"{one.recommend_s:.2f}",
        )
    return table


def left_out_line(one: LeftOut) -> str:
    """Return what a model is worth to listeners who were kept from it, in a line."""
    return (
        f"{one.model}: Recall@{K} of {one.users:,} listeners {one.trained:.4f} trained with, "
        f"{one.folded:.4f} left out and folded in: {one.ratio:.3f} of it"
    )


def segment_table(results: Sequence[Result], by: By) -> Table:
    """Return a row a segment, the largest first, with the NDCG@10 of each model."""
    table = Table(by, "listeners", *(one.model for one in results), padding=(0, 0))
    sizes = {name: int(of["users"]) for name, of in _segments(results[0], by).items()}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        values = [_segments(one, by)[name][f"ndcg@{SHORT}"] for one in results]
        table.add_row(name, f"{sizes[name]:,}", *(f"{value:.4f}" for value in values))
    table.caption = f"NDCG@{SHORT}"
    return table


def _segments(result: Result, by: By) -> Segments:
    return result.countries if by is By.COUNTRY else result.segments


def write_json(results: Sequence[Result], left_out: Sequence[LeftOut], path: Path) -> None:
    """Write a row a model, with what leaving listeners out showed of it."""
    shown = {one.model: one.as_dict() for one in left_out}
    rows = [
        one.as_row() | ({"left_out": shown[one.model]} if one.model in shown else {})
        for one in results
    ]
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def draw(results: Sequence[Result], path: Path, title: str) -> None:
    """Draw NDCG against the time of fitting, with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for one in results:
        mean = one.means[f"ndcg@{K}"]
        spread = [[mean.value - mean.low], [mean.high - mean.value]]
        axes.errorbar(max(one.fit_s, 1e-3), mean.value, yerr=spread, fmt="o", capsize=3)
        axes.annotate(
            one.model,
            (max(one.fit_s, 1e-3), mean.value),
            textcoords="offset points",
            xytext=(7, 4),
        )
    axes.set(xscale="log", xlabel="time to fit, s", ylabel=f"NDCG@{K}")
    axes.set_title(title, fontsize="small", wrap=True)
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path)
