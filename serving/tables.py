"""Experiments and their results as tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from serving.experiments import BUCKETS, Experiment, Variant


def experiments_table(experiments: Sequence[Experiment]) -> Table:
    """Return the experiments, a row a variant."""
    table = Table("experiment", "started", "stopped", "variant", "share", "shows")
    for one in experiments:
        stopped = f"{one.stopped_at:%Y-%m-%d %H:%M:%S}" if one.stopped_at else ""
        head = (one.name, f"{one.started_at:%Y-%m-%d %H:%M:%S}", stopped)
        for place, variant in enumerate(one.variants):
            share = (variant.bucket_to - variant.bucket_from) / BUCKETS
            table.add_row(
                *(head if not place else ("", "", "")), variant.name, f"{share:.2%}", shows(variant)
            )
    return table


def shows(variant: Variant) -> str:
    """Return what a variant shows, in words."""
    said = []
    if variant.model_run_id is not None:
        said.append(f"lists of run {variant.model_run_id}")
    if variant.max_per_artist:
        said.append(f"{variant.max_per_artist} of an artist at most")
    if variant.max_per_genre:
        said.append(f"{variant.max_per_genre} of a genre at most")
    if variant.without:
        said.append(f"nothing {' or '.join(variant.without)}")
    return ", ".join(said) or "as to everybody"


def results_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """Return what came of each variant, the first of which is what others are compared with."""
    table = Table("variant", "shown", "played", "click-through", "95 %", "difference", "95 %")
    for one in results:
        table.add_row(
            one["variant"],
            f"{one['impressions']:,}",
            f"{one['plays']:,}",
            _rate(one["click_through"]),
            _interval(one["low"], one["high"]),
            _signed(one["difference"]),
            _interval(one["difference_low"], one["difference_high"], signed=True),
        )
    return table


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def _interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    if low is None or high is None:
        return ""
    form = _signed if signed else _rate
    return f"{form(low)} to {form(high)}"
