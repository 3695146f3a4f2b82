"""The search for the parameters of ALS: what it sees, and that it can be repeated."""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from encore.errors import UsageError
from recommender.als import AlsParameters
from recommender.files import Events, Published
from recommender.interactions import Split
from recommender.tuning import Budget, Choice, Trial, Tuned, trial_line, tune, write_json

PARAMETERS = AlsParameters(rank=4, iterations=2, regularization=0.1, alpha=1.0, seed=1, blocks=1)


def heard() -> Events:
    """Sixty listeners, each of one of two tastes, hear an item of it an hour for eight hours."""
    draws = np.random.default_rng(4)
    rows = [
        (f"u{user}", f"i{item + 12 * (user % 2)}", 3600.0 * hour)
        for user in range(60)
        for hour, item in enumerate(draws.permutation(12)[:8])
    ]
    user, item, time = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({"user": user, "item": item, "time": time, "positive": [True] * len(rows)})
    return Events("heard", table, test_share=0.25)


def search(source: Events | Published, *, half_life: bool = False, seed: int = 1) -> Tuned:
    parameters = AlsParameters(**(PARAMETERS.as_dict() | {"seed": seed}))  # type: ignore[arg-type]
    return tune(source, parameters, Budget(4), half_life=half_life, tell=lambda _: None)


def test_the_same_data_and_seed_give_the_same_trials() -> None:
    first, again, other = search(heard()), search(heard()), search(heard(), seed=2)
    assert [(one.choice, one.value) for one in first.trials] == [
        (one.choice, one.value) for one in again.trials
    ]
    assert first.trials[1].choice != other.trials[1].choice


def test_it_begins_with_the_parameters_in_use_so_that_the_best_is_no_worse() -> None:
    tuned = search(heard())
    assert len(tuned.trials) == 4
    assert tuned.trials[0].choice == Choice(4, 2, 0.1, 1.0)
    assert tuned.best.value >= tuned.trials[0].value
    assert tuned.unseen.keys() == {"default", "tuned"}


def test_nothing_is_chosen_on_what_is_tested_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    divided: list[float] = []

    def watched(source: Events, half_life_days: float | None = None) -> Split:
        divided.append(source.moment / 3600)
        return split(source, half_life_days)

    split = Events.split
    monkeypatch.setattr(Events, "split", watched)
    search(heard())
    # Of the hours 0 to 7 the last two are tested on; of 0 to 5, the last one and a half.
    assert divided == [4.0] * 4 + [5.0] * 2


def test_the_half_life_is_searched_where_it_is_asked_for() -> None:
    first, *others = search(heard(), half_life=True).trials
    assert first.choice.half_life_days is None
    assert all(3 <= (one.choice.half_life_days or 0) <= 1000 for one in others)


def test_a_published_split_has_no_half_life_to_search() -> None:
    with pytest.raises(UsageError, match="has no times"):
        search(Published(heard().split(), 0.2, seed=1), half_life=True)


def test_when_the_time_is_over_no_other_trial_begins() -> None:
    budget = Budget(1000, timedelta(microseconds=1))
    tuned = tune(heard(), PARAMETERS, budget, half_life=False, tell=lambda _: None)
    assert len(tuned.trials) == 1


def test_the_choice_is_told_as_settings_and_written_with_every_trial(tmp_path: Path) -> None:
    choice = Choice(64, 12, 0.0165, 40.0, half_life_days=14.0)
    assert choice.settings() == [
        "ALS_RANK=64",
        "ALS_ITERATIONS=12",
        "ALS_REGULARIZATION=0.0165",
        "ALS_ALPHA=40",
        "FEATURE_AFFINITY_HALF_LIFE_DAYS=14",
    ]
    trials = [Trial(Choice(4, 2, 0.1, 1.0), 0.25, 0.5), Trial(choice, 0.5, 1.0)]
    assert trial_line(2, trials[1]) == (
        "2: ndcg@10 0.5000 in 1.0 s: rank 64 iterations 12 regularization 0.0165 alpha 40 "
        "half-life 14 d"
    )
    write_json(Tuned(trials, {}), 7, tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["seed"] == 7
    assert [one["value"] for one in written["trials"]] == [0.25, 0.5]
    assert written["best"]["choice"]["rank"] == 64
    assert written["settings"] == choice.settings()
