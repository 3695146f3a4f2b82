"""Measurements: ways that take turns, medians and spreads, and the record of a run."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the benchmark: a ratio, what it is of, and what it should be.

    ``ratio`` is the median of ``runs``; ``ours`` and ``reference`` are medians, in ``unit``.
    ``target`` reads ``>= 0.3`` or ``<= 5``; empty where there is none.
    """

    name: str
    against: str
    unit: str
    ours: float
    reference: float
    ratio: float
    runs: Sequence[float]
    target: str = ""

    @property
    def met(self) -> bool | None:
        """Tell whether the target is met; None without one."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.ratio >= float(bound) if sign == ">=" else self.ratio <= float(bound)


def take_turns(
    ways: Mapping[str, Callable[[], float]], *, repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Run ways in turns and return what each gave, without the runs to warm up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(warm_up + repeats):
        for name, way in ways.items():
            value = way()
            if turn >= warm_up:
                found[name].append(value)
    return found


def compare(
    name: str,
    against: str,
    ours: Sequence[float],
    reference: Sequence[float],
    *,
    unit: str,
    target: str = "",
) -> Figure:
    """Return the figure of two ways that took turns."""
    runs = [one / other for one, other in zip(ours, reference, strict=True)]
    return Figure(
        name,
        against,
        unit,
        statistics.median(ours),
        statistics.median(reference),
        statistics.median(runs),
        runs,
        target,
    )


def single(
    name: str, against: str, unit: str, ours: float, reference: float, target: str = ""
) -> Figure:
    """Return the figure of two values that were found once."""
    ratio = ours / reference
    return Figure(name, against, unit, ours, reference, ratio, [ratio], target)


def rate(count: int, work: Callable[[], object]) -> float:
    """Return how many records a second a piece of work does."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def machine() -> dict[str, str]:
    """Return what a figure depends on."""
    packages = ("pyspark", "kafka-python", "msgspec", "pyarrow", "numpy", "psycopg2-binary")
    return {
        "cores": str(os.cpu_count()),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def table(figures: Sequence[Figure]) -> str:
    """Return figures as lines of text."""
    lines = []
    for one in figures:
        verdict = {None: "", True: f"  {one.target}", False: f"  MISSES {one.target}"}[one.met]
        spread = f"{min(one.runs):.2f}-{max(one.runs):.2f}"
        lines.append(
            f"{one.name:<28}{one.ours:>12,.4g} {one.unit:<9}{one.ratio:>8.2f} x {spread:>12}"
            f"  {one.against}{verdict}"
        )
    return "\n".join(lines)


def save(parts: Mapping[str, Sequence[Figure]], path: Path) -> dict[str, list[Figure]]:
    """Write each part's machine and figures as JSON; return those of all parts in the file.

    What the file has of parts that were not measured now stays as it was.
    """
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for part, figures in parts.items():
        measured = [{**asdict(one), "met": one.met} for one in figures]
        kept[part] = {"machine": machine(), "figures": measured}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return {part: [_figure(one) for one in record["figures"]] for part, record in kept.items()}


def _figure(record: Mapping[str, Any]) -> Figure:
    return Figure(**{one.name: record[one.name] for one in fields(Figure)})
