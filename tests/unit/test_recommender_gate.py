"""Which run may be published, what is said of a falling quality, and models as files."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from encore.errors import EncoreError
from recommender.artifact import CONTENT, ITEMS, MODEL, of_files
from recommender.gate import Champion, drift, refusal
from recommender.rules import Rules
from tests.models import model_of, plain_catalogue

NOW = datetime(2026, 5, 2, tzinfo=UTC)


def measured(ndcg: float, spread: float = 0.01, coverage: float = 0.2, length: float = 50.0) -> Any:
    als = {
        "ndcg@10": ndcg,
        "ndcg@10_low": ndcg - spread,
        "ndcg@10_high": ndcg + spread,
        "recall@20": 0.1,
        "coverage@20": coverage,
    }
    return {"als": als, "published": "als", "test_users": 100, "list_length": length}


def champion(metrics: Any, age: timedelta = timedelta(hours=1)) -> Champion | None:
    row = {"model_run_id": 3, "algorithm": "als", "metrics": metrics, "published_at": NOW - age}
    return Champion.of(row)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (measured(0.10), measured(0.11), None),  # intervals meet
        (measured(0.10), measured(0.13), "ndcg@10 0.1000 .* is worse than 0.1300 .* of run 3"),
        (measured(0.20), measured(0.10), None),
        (measured(0.10, coverage=0.09), measured(0.10), "coverage@20 0.090 is below half of 0.200"),
        (measured(0.10, length=39), measured(0.10), "lists have 39.0 items on average, 50.0"),
        (measured(0.10, length=41), measured(0.10), None),
    ],
)
def test_a_run_is_refused_where_it_is_clearly_worse(ours: Any, theirs: Any, said: str) -> None:
    reason = refusal(ours, champion(theirs), NOW, most_hours=24)
    if said is None:
        assert reason is None
    else:
        import re

        assert reason is not None
        assert re.search(said, reason)


def test_an_old_champion_and_one_that_was_never_measured_hold_nothing_back() -> None:
    bad = measured(0.01)
    assert refusal(bad, champion(measured(0.3), timedelta(hours=25)), NOW, 24) is None
    assert refusal(bad, champion({"test_users": 0}), NOW, 24) is None
    assert refusal(bad, Champion.of(None), NOW, 24) is None
    assert refusal({"test_users": 0}, champion(measured(0.3)), NOW, 24) is None


def run(status: str, ndcg: float) -> dict[str, Any]:
    return {"status": status, "algorithm": "als", "metrics": measured(ndcg)}


def test_a_falling_quality_is_told_against_the_median_of_the_last_published_runs() -> None:
    runs = [run("published", 0.2), run("superseded", 0.4), run("superseded", 0.3)]
    said = drift(measured(0.25), runs)
    assert said is not None
    assert "ndcg@10 0.2500 (at most 0.2600), median of the last 3 published runs 0.3000" in said
    assert drift(measured(0.295), runs) is None
    assert drift(measured(0.1), [run("failed", 0.9), run("refused", 0.9)]) is None


FACTORS = {"a": (1.0, 0.0), "b": (0.25, -3e-8)}


def test_a_model_comes_back_from_its_files_as_it_was() -> None:
    artifact = model_of(FACTORS, alpha=2.0, regularization=0.5, now_s=12.5)
    back = of_files(artifact.files())
    assert back.item_ids == ["a", "b"]
    np.testing.assert_array_equal(back.als.factors, artifact.als.factors)
    assert back.model["alpha"] == 2.0
    bundle = back.bundle(plain_catalogue(["a", "b", "since"]), Rules(), 4)
    assert bundle.trained.tolist() == [True, True, False]
    assert bundle.half_step.gram == pytest.approx(np.array([[1.0625, 0], [0, 0]]), abs=1e-6)


@pytest.mark.parametrize("name", [ITEMS, CONTENT, MODEL])
def test_a_file_that_is_cut_short_or_missing_is_told_of(name: str) -> None:
    files = model_of(FACTORS, alpha=2.0, regularization=0.5, now_s=0.0).files()
    with pytest.raises(EncoreError, match="the model's files cannot be read"):
        of_files({**files, name: files[name][: len(files[name]) // 2]})
    with pytest.raises(EncoreError, match="cannot be read"):
        of_files({one: content for one, content in files.items() if one != name})


def test_a_format_of_a_newer_version_asks_for_an_upgrade() -> None:
    files = model_of(FACTORS, alpha=2.0, regularization=0.5, now_s=0.0).files()
    newer = files[MODEL].replace(b'"format": 1', b'"format": 2')
    with pytest.raises(EncoreError, match="upgrade Encore"):
        of_files({**files, MODEL: newer})
