"""The demo's report: what went through each hop, and whether it all adds up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from demo.snapshot import Model, Outcome, Step, TopicProgress

# Broken records are a thousandth of a short run's, and a fallback run has no files. Nobody is
# queued when the lists are up to date. Nobody may have looked at a list by the end of a short run.
MAY_BE_EMPTY: Final = frozenset(
    {
        "rejected_events",
        "model_artifacts",
        "live_queue",
        "api_keys",
        "api_writes",
        "impressions",
        "recommendation_outcomes",
        "click_through",
        "click_through_drift",
        "erasures",
        "experiments",
        "experiment_variants",
        "experiment_results",
    }
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found when the demo had stopped producing.

    ``ends`` are Kafka's end offsets by topic; ``acknowledged`` is what Kafka acknowledged to
    this start's producer, and ``ends_before`` where the topics ended before it.
    """

    events_topic: str
    ends: Mapping[str, int]
    ends_before: Mapping[str, int]
    acknowledged: Mapping[str, int]
    progress: Mapping[str, TopicProgress]
    rows: Mapping[str, int]
    model: Model | None
    first_recommendation_seconds: float | None
    steps: tuple[Step, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


def build_report(found: Findings) -> dict[str, Any]:
    """Return the report, with ``ok`` and the list of ``problems``."""
    problems = find_problems(found)
    by_topic = {topic: _topic(found, topic) for topic in found.ends}
    return {
        "ok": not problems,
        "problems": problems,
        **by_topic[found.events_topic],
        "topics": by_topic,
        "rows": dict(found.rows),
        "model": _model(found.model),
        "click_through": _click_through(found.outcomes),
        "seconds_to_first_recommendation": _rounded(found.first_recommendation_seconds),
        "seconds": round(found.seconds, 1),
        "steps": {step.name: _rounded(step.seconds) for step in found.steps},
        "notes": list(found.notes),
    }


def find_problems(found: Findings) -> list[str]:
    """Return what is wrong, a sentence each: an empty hop, or counts that do not add up."""
    problems = [*_uncounted(found), *_undelivered(found)]
    problems += [
        f"{name} is empty"
        for name, rows in found.rows.items()
        if rows == 0 and name not in MAY_BE_EMPTY
    ]
    if found.model is None:
        problems.append("no recommendations were published")
    elif found.model.algorithm == "als" and found.rows.get("model_artifacts", 0) == 0:
        problems.append("the model has no files")
    if found.first_recommendation_seconds is None:
        problems.append("no recommendation was seen")
    return problems


def _uncounted(found: Findings) -> list[str]:
    counted = found.progress.get(found.events_topic, TopicProgress())
    produced = found.ends[found.events_topic] - counted.first
    if produced == 0:
        return [f"no events reached {found.events_topic}"]
    parts = counted.accepted + counted.duplicate + counted.rejected
    problems = []
    if parts != produced:
        problems.append(
            f"accepted {counted.accepted} + duplicate {counted.duplicate} + rejected "
            f"{counted.rejected} = {parts}, but {produced} were produced"
        )
    if counted.accepted == 0:
        problems.append("no event was accepted")
    return problems


def _undelivered(found: Findings) -> list[str]:
    problems = []
    for topic, acknowledged in found.acknowledged.items():
        grown = found.ends[topic] - found.ends_before.get(topic, 0)
        if grown < acknowledged:
            problems.append(f"{topic} grew by {grown}, but {acknowledged} were acknowledged")
    return problems


def _topic(found: Findings, topic: str) -> dict[str, int]:
    counted = found.progress.get(topic, TopicProgress())
    return {
        "produced": found.ends[topic] - counted.first,
        "accepted": counted.accepted,
        "late": counted.late,
        "duplicate": counted.duplicate,
        "rejected": counted.rejected,
    }


def _model(model: Model | None) -> dict[str, Any] | None:
    if model is None:
        return None
    als, popularity = model.metric("als", "ndcg@10"), model.metric("popularity", "ndcg@10")
    return {
        "model_run_id": model.model_run_id,
        "algorithm": model.algorithm,
        "interactions": model.interactions,
        "metrics": dict(model.metrics),
        "beats_popularity": None if als is None or popularity is None else als > popularity,
        "message": model.message,
    }


def _click_through(outcomes: Sequence[Outcome]) -> dict[str, Any] | None:
    """Return what was played of what was shown, or None where nothing was shown."""
    impressions = sum(one.impressions for one in outcomes)
    if not impressions:
        return None
    plays = sum(one.plays for one in outcomes)
    return {
        "impressions": impressions,
        "plays": plays,
        "rate": plays / impressions,
        "by_source": {one.source: one.plays / one.impressions for one in outcomes},
    }


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the report in a few lines for a person."""
    lines = [
        "{produced:,} events produced = {accepted:,} accepted ({late:,} of them late) "
        "+ {duplicate:,} duplicate + {rejected:,} rejected".format(**report)
    ]
    first = report["seconds_to_first_recommendation"]
    if first is not None:
        lines.append(f"first recommendation after {first:g} s")
    model = report["model"]
    if model is not None:
        lines.append(f"model run {model['model_run_id']} ({model['algorithm']}){_ndcg(model)}")
    shown = report["click_through"]
    if shown is not None:
        by_source = ", ".join(f"{name} {rate:.1%}" for name, rate in shown["by_source"].items())
        lines.append(
            f"{shown['rate']:.1%} of {shown['impressions']:,} recommendations shown were played "
            f"({by_source})"
        )
    return lines


def _ndcg(model: Mapping[str, Any]) -> str:
    found = model["metrics"]
    if model["beats_popularity"] is None:
        return ""
    als, popularity = found["als"]["ndcg@10"], found["popularity"]["ndcg@10"]
    return f": NDCG@10 {als:.3f}, popularity {popularity:.3f}"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
