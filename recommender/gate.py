"""Champion and challenger: which run may take the place of the published one.

A run is refused where it is clearly worse than the published one was when it was measured: both
have a bootstrap interval of their NDCG, and the two do not meet. Lists that are much shorter, or
reach much less of the catalogue, are refused as well. A champion of long ago is no measure any
more: data drift, and readers must not be left with old lists for ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from recommender.metrics import COVERAGE, NDCG
from recommender.quality import ALS, HIGH, LOW

LEAST_COVERAGE: Final = 0.5  # of the champion's
LEAST_LENGTH: Final = 0.8  # of the champion's lists
_RECENT: Final = 5  # runs, whose median tells a drift


@dataclass(frozen=True)
class Champion:
    """The published run, as it was measured."""

    model_run_id: int
    published_at: datetime
    metrics: Mapping[str, Any]

    @classmethod
    def of(cls, run: Mapping[str, Any] | None) -> "Champion | None":
        """Take a row of ``model_runs``; None where it cannot be compared with."""
        if run is None or run["algorithm"] != ALS or not run["metrics"].get("test_users"):
            return None
        return cls(run["model_run_id"], run["published_at"], run["metrics"])


def refusal(
    metrics: Mapping[str, Any], champion: Champion | None, now: datetime, most_hours: float
) -> str | None:
    """Return why a run must not be published, or None where it may.

    ``metrics`` are those of :mod:`recommender.quality`, with ``published`` and, once the lists are
    made, ``list_length``.
    """
    if champion is None or now - champion.published_at > timedelta(hours=most_hours):
        return None
    if not metrics.get("test_users"):
        return None
    ours, theirs = chosen(metrics), chosen(champion.metrics)
    of = f"of run {champion.model_run_id}"
    if HIGH in ours and LOW in theirs and ours[HIGH] < theirs[LOW]:
        return (
            f"{NDCG} {ours[NDCG]:.4f} (at most {ours[HIGH]:.4f}) is worse than {theirs[NDCG]:.4f} "
            f"(at least {theirs[LOW]:.4f}) {of}"
        )
    if ours[COVERAGE] < LEAST_COVERAGE * theirs[COVERAGE]:
        return f"{COVERAGE} {ours[COVERAGE]:.3f} is below half of {theirs[COVERAGE]:.3f} {of}"
    length, before = metrics.get("list_length"), champion.metrics.get("list_length")
    if length is not None and before and length < LEAST_LENGTH * before:
        return f"lists have {length:.1f} items on average, {before:.1f} {of}"
    return None


def drift(metrics: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a warning where a run is worse than the recent ones by more than its interval.

    ``runs`` are rows of ``model_runs``, newest first.
    """
    before = [
        chosen(run["metrics"])[NDCG]
        for run in runs
        if run["status"] in ("published", "superseded")
        and run["algorithm"] == ALS
        and run["metrics"].get("test_users")
    ][:_RECENT]
    if not before or not metrics.get("test_users"):
        return None
    ours = chosen(metrics)
    if ours.get(HIGH, ours[NDCG]) >= median(before):
        return None
    return (
        f"quality falls: {NDCG} {ours[NDCG]:.4f} (at most {ours[HIGH]:.4f}), median of the last "
        f"{len(before)} published runs {median(before):.4f}"
    )


def chosen(metrics: Mapping[str, Any]) -> Mapping[str, float]:
    """Return the metrics of what orders the lists of a run."""
    found: Mapping[str, float] = metrics[metrics.get("published", ALS)]
    return found
