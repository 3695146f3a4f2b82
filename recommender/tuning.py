"""A search for the parameters of ALS that are best on what listeners came to next.

Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (NIPS 2011), as Optuna has it. What
is learned from is divided in its turn: parameters are chosen on the newest part of it. The part
that is tested on is used once, at the end, to hold the choice against the parameters that are in
use. Trials are fitted by ``implicit``, which takes seconds.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
from rich.table import Table

from encore.errors import EncoreError
from recommender.als import AlsParameters
from recommender.comparison import SHORT, K, Left, Result, compare
from recommender.models.factors import IMPLICIT, Factors
from recommender.sources import Source

OBJECTIVE = f"ndcg@{SHORT}"
_RANKS = (4, 256)
_ITERATIONS = (4, 20)
_REGULARIZATIONS = (1e-3, 100.0)
_ALPHAS = (0.5, 100.0)
_HALF_LIVES_DAYS = (3.0, 1000.0)


@dataclass(frozen=True)
class Choice:
    """What is searched for. Without a half-life the data are taken as they are."""

    rank: int
    iterations: int
    regularization: float
    alpha: float
    half_life_days: float | None = None

    def settings(self) -> list[str]:
        """Return the choice as lines of ``.env``."""
        lines = [
            f"ALS_RANK={self.rank}",
            f"ALS_ITERATIONS={self.iterations}",
            f"ALS_REGULARIZATION={self.regularization:g}",
            f"ALS_ALPHA={self.alpha:g}",
        ]
        if self.half_life_days is not None:
            lines.append(f"FEATURE_AFFINITY_HALF_LIFE_DAYS={self.half_life_days:g}")
        return lines


@dataclass(frozen=True)
class Trial:
    """A choice and what it was worth."""

    choice: Choice
    value: float
    seconds: float


@dataclass(frozen=True)
class Tuned:
    """Every trial, the first of them with the parameters in use, and both on what was unseen."""

    trials: list[Trial]
    unseen: Mapping[str, Result]

    @property
    def best(self) -> Trial:
        """Return the best trial; of equals the first."""
        return max(self.trials, key=lambda one: one.value)


@dataclass(frozen=True)
class Budget:
    """When to stop: after so many trials, or no new one after so long."""

    trials: int
    span: timedelta | None = None


def tune(
    source: Source,
    parameters: AlsParameters,
    budget: Budget,
    *,
    half_life: bool,
    tell: Callable[[Trial], None],
) -> Tuned:
    """Search, beginning with the parameters in use; the same data and seed give the same trials.

    Raises:
        EncoreError: the data cannot be divided twice, or the parameters in use cannot be fitted.
    """
    inner = source.before()
    trials: list[Trial] = []

    def worth(choice: Choice) -> float:
        began = time.perf_counter()
        value = _fitted(inner, choice, parameters).means[OBJECTIVE].value
        trials.append(Trial(choice, value, round(time.perf_counter() - began, 3)))
        tell(trials[-1])
        return value

    default = Choice(
        parameters.rank, parameters.iterations, parameters.regularization, parameters.alpha
    )
    ends = None if budget.span is None else time.monotonic() + budget.span.total_seconds()
    worth(default)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=parameters.seed)
    )
    for _ in range(budget.trials - 1):
        if ends is not None and time.monotonic() >= ends:
            break
        trial = study.ask()
        study.tell(trial, worth(_suggest(trial, half_life)))
    best = max(trials, key=lambda one: one.value).choice
    unseen = {
        "default": _fitted(source, default, parameters),
        "tuned": _fitted(source, best, parameters),
    }
    return Tuned(trials, unseen)


def _suggest(trial: optuna.Trial, half_life: bool) -> Choice:
    choice = Choice(
        rank=trial.suggest_int("rank", *_RANKS, log=True),
        iterations=trial.suggest_int("iterations", *_ITERATIONS),
        regularization=_short(trial.suggest_float("regularization", *_REGULARIZATIONS, log=True)),
        alpha=_short(trial.suggest_float("alpha", *_ALPHAS, log=True)),
    )
    if not half_life:
        return choice
    days = trial.suggest_float("half_life_days", *_HALF_LIVES_DAYS, log=True)
    return replace(choice, half_life_days=_short(days))


def _short(value: float) -> float:
    # What is fitted is what is printed, so that the printed lines give the printed figures.
    return float(f"{value:.3g}")


def _fitted(source: Source, choice: Choice, parameters: AlsParameters) -> Result:
    chosen = replace(
        parameters,
        rank=choice.rank,
        iterations=choice.iterations,
        regularization=choice.regularization,
        alpha=choice.alpha,
    )

    def tell(found: Result | Left) -> None:
        if isinstance(found, Left):
            raise EncoreError(f"{choice} could not be fitted: {found.reason}")

    model = Factors(IMPLICIT, chosen)
    (result,) = compare(source.split(choice.half_life_days), [model], tell, parameters.seed)
    return result


def unseen_table(tuned: Tuned) -> Table:
    """Return the parameters in use and the best, and what they are worth where nothing chose."""
    shown = (f"recall@{K}", f"ndcg@{K}", OBJECTIVE)
    table = Table("", "chosen on", *shown, "fit s", padding=(0, 1))
    seen = {"default": tuned.trials[0], "tuned": tuned.best}
    for name, result in tuned.unseen.items():
        means = [result.means[one] for one in shown]
        table.add_row(
            name,
            f"{seen[name].value:.4f}",
            *(f"{mean.value:.4f} ±{(mean.high - mean.low) / 2:.3f}" for mean in means),
            f"{result.fit_s:.2f}",
        )
    table.caption = f"chosen on: {OBJECTIVE} of the part that the trials saw"
    return table


def trial_line(number: int, trial: Trial) -> str:
    """Return a trial in a line."""
    choice = trial.choice
    half_life = "" if choice.half_life_days is None else f" half-life {choice.half_life_days:g} d"
    return (
        f"{number}: {OBJECTIVE} {trial.value:.4f} in {trial.seconds:.1f} s: rank {choice.rank} "
        f"iterations {choice.iterations} regularization {choice.regularization:g} "
        f"alpha {choice.alpha:g}{half_life}"
    )


def write_json(tuned: Tuned, seed: int, path: Path) -> None:
    """Write every trial, the best of them, and both on what was unseen."""
    found: dict[str, Any] = {
        "objective": OBJECTIVE,
        "seed": seed,
        "trials": [asdict(one) for one in tuned.trials],
        "best": asdict(tuned.best),
        "settings": tuned.best.choice.settings(),
        "unseen": {name: one.as_row() for name, one in tuned.unseen.items()},
    }
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
