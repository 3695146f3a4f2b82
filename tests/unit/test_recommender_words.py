"""What the recommender says: reasons, shortages, verdicts, headers and tables."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from recommender.answers import Answer, Recommendation
from recommender.dataset import Summary
from recommender.fallback import shortage
from recommender.quality import verdict
from recommender.tables import answer_header, answer_table, runs_table

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def summary(positive: int, users: int, items: int) -> Summary:
    return Summary(positive, users, items, None, None, 0.0, 0.0, 86_400.0)


def test_a_shortage_says_how_much_there_is_and_is_needed() -> None:
    said = shortage(summary(12, 3, 7), 1000)
    assert said is not None
    assert "12 positive listener-item pairs of 3 listeners and 7 items" in said
    assert "needed are 1000 pairs" in said


@pytest.mark.parametrize(("users", "items"), [(1, 50), (50, 1)])
def test_one_listener_or_one_item_is_a_shortage(users: int, items: int) -> None:
    assert shortage(summary(50, users, items), 10) is not None


def test_enough_data_is_no_shortage() -> None:
    assert shortage(summary(10, 2, 2), 10) is None


@pytest.mark.parametrize(
    ("als", "popularity", "users", "said"),
    [
        (0.2, 0.1, 5, None),
        (0.1, 0.1, 5, "does not beat popularity: ndcg@10 0.1000 against 0.1000"),
        (0.0, 0.0, 0, "could not be tested"),
    ],
)
def test_the_verdict_warns_unless_als_beats_popularity(
    als: float, popularity: float, users: int, said: str | None
) -> None:
    metrics = {
        "als": {"ndcg@10": als},
        "popularity": {"ndcg@10": popularity},
        "test_users": users,
    }
    found = verdict(metrics)
    assert found is None if said is None else said in (found or "")


def answer(**changes: object) -> Answer:
    given = {
        "user_id": "u1",
        "known": True,
        "model_run_id": 3,
        "algorithm": "als",
        "published_at": datetime(2026, 5, 1, 11, 57, tzinfo=UTC),
        "data_to": datetime(2026, 5, 1, 11, 55, tzinfo=UTC),
        "recommendations": [Recommendation(1, "t1", None, None, 0.5, "popular", "popular")],
    }
    return Answer(**{**given, **changes})  # type: ignore[arg-type]


def test_the_header_says_run_and_freshness() -> None:
    assert answer_header(answer(), NOW) == [
        "Recommendations for u1",
        "model run 3 (als), published 2026-05-01 11:57:00 UTC (3 min ago), "
        "data to 2026-05-01 11:55:00 UTC",
    ]


def test_the_header_says_that_a_user_is_unknown_and_that_there_is_no_run() -> None:
    lines = answer_header(answer(known=False, model_run_id=None, published_at=None), NOW)
    assert lines[1:] == [
        "u1 is unknown: this is what anyone is shown",
        "no model run is published yet: `encore train` makes one",
    ]


def printed(table: object) -> str:
    text = io.StringIO()
    Console(width=160, file=text).print(table)
    return text.getvalue()


def test_an_item_without_a_title_goes_by_its_id_and_brackets_are_no_markup() -> None:
    plain = Recommendation(1, "t1", None, "[red]Band", 0.5, "genre", "because you like [b]Folk")
    text = printed(answer_table(answer(recommendations=[plain])))
    assert "t1" in text
    assert "[red]Band" in text
    assert "[b]Folk" in text


def test_runs_are_listed_with_their_metrics_against_popularity() -> None:
    run = {
        "model_run_id": 4,
        "status": "published",
        "algorithm": "als",
        "published_at": NOW,
        "interactions": 1234,
        "duration_seconds": 33.4,
        "message": None,
        "metrics": {
            "als": {"ndcg@10": 0.1, "recall@20": 0.2},
            "popularity": {"ndcg@10": 0.01, "recall@20": 0.02},
        },
    }
    failed = {**run, "model_run_id": 5, "status": "failed", "published_at": None, "metrics": None}
    text = printed(runs_table([failed, run]))
    assert "0.100 (popular 0.010)" in text
    assert "2026-05-01 12:00:00 UTC" in text
