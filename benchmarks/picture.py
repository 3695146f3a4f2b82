"""The figures as a picture: each ratio as a share of its target, on a logarithmic scale."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.measure import Figure

mpl.use("svg")
_MET, _MISSED, _PLAIN = "#2a7f62", "#b5482a", "#5b6b7b"


def draw(figures: Sequence[Figure], path: Path, machine: str) -> None:
    """Write an SVG with a bar for each figure, its spread, and a mark at its target."""
    plt.rcParams["svg.hashsalt"] = "encore"  # the same figures give the same file
    figure, axes = plt.subplots(figsize=(11, 0.55 * len(figures) + 1.6))
    places = range(len(figures) - 1, -1, -1)
    for place, one in zip(places, figures, strict=True):
        colour = {True: _MET, False: _MISSED, None: _PLAIN}[one.met]
        spread = [[max(0.0, one.ratio - min(one.runs))], [max(0.0, max(one.runs) - one.ratio)]]
        axes.barh(place, one.ratio, xerr=spread, color=colour, height=0.6, ecolor="black")
        axes.text(one.ratio * 1.08, place, f"{one.ratio:.2f}", va="center", fontsize=9)
        if one.target:
            bound = float(one.target.split()[1])
            axes.plot([bound, bound], [place - 0.4, place + 0.4], color="black", linewidth=2)
    axes.set_yticks(list(places), [f"{one.name}\n/ {one.against[:60]}" for one in figures])
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("ratio, measured in one run (black mark: the target)")
    axes.set_title(machine, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
