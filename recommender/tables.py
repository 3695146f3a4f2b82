"""Answers and runs as tables for a terminal."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from recommender.answers import Answer
from recommender.metrics import NDCG, RECALL


def answer_header(answer: Answer, now: datetime) -> list[str]:
    """Return the lines above a list: whose it is, which model made it, how fresh it is."""
    lines = [f"Recommendations for {answer.user_id}"]
    if not answer.known:
        lines.append(f"{answer.user_id} is unknown: this is what anyone is shown")
    if answer.model_run_id is None or answer.published_at is None:
        lines.append("no model run is published yet: `encore train` makes one")
    else:
        data_to = f", data to {_moment(answer.data_to)}" if answer.data_to else ""
        lines.append(
            f"model run {answer.model_run_id} ({answer.algorithm}), published "
            f"{_moment(answer.published_at)} ({_age(now, answer.published_at)} ago){data_to}"
        )
    return lines


def answer_table(answer: Answer) -> Table:
    """Return a list with a row an item."""
    table = Table("rank", "title", "artist", "score", "source", "reason")
    for one in answer.recommendations:
        texts = (one.title or one.item_id, one.artist or "", f"{one.score:.4f}")
        table.add_row(str(one.rank), *map(escape, texts), one.source, escape(one.reason))
    return table


def runs_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Return the model runs, newest first, with what each was worth against popularity."""
    table = Table("run", "status", "algorithm", "published", "pairs", NDCG, RECALL, "s", "message")
    for run in runs:
        table.add_row(
            str(run["model_run_id"]),
            run["status"],
            run["algorithm"],
            _moment(run["published_at"]) if run["published_at"] else "",
            str(run["interactions"] or ""),
            _against(run["metrics"], NDCG),
            _against(run["metrics"], RECALL),
            f"{run['duration_seconds']:.0f}" if run["duration_seconds"] else "",
            escape(run["message"] or ""),
        )
    return table


def _against(metrics: Mapping[str, Any] | None, name: str) -> str:
    if not metrics or "als" not in metrics:
        return ""
    ours = metrics[metrics.get("published", "als")]
    return f"{ours[name]:.3f} (popular {metrics['popularity'][name]:.3f})"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _age(now: datetime, then: datetime) -> str:
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
