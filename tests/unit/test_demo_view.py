"""What the demo draws and logs, from literal snapshots."""

from datetime import UTC, datetime

import pytest
from rich.console import Console

from demo.screen import log_fields
from demo.snapshot import (
    Flow,
    Listener,
    Model,
    Play,
    Rates,
    Recommendation,
    Snapshot,
    Step,
    TopicProgress,
    Trend,
)
from demo.view import age, duration, flow_lines, model_lines, render

COUNTED = TopicProgress(
    first=0, next=1990, accepted=1900, late=40, duplicate=60, rejected=30,
    freshness=1.24, since_commit=0.31,
)  # fmt: skip
MODEL = Model(
    model_run_id=3,
    algorithm="als",
    published_at=datetime(2026, 5, 1, 12, tzinfo=UTC),
    metrics={"als": {"ndcg@10": 0.1234}, "popularity": {"ndcg@10": 0.0567}},
    interactions=60_000,
)
LISTENER = Listener(
    user_id="u42",
    name="Ada [Lovelace]",
    place="London, GB",
    plays=(Play("Blue Door", "The Kites", plays=3, skips=1, likes=1, age=4.5),),
    recommendations=(
        Recommendation(1, "Green Hill", "The Kites", "personal", "because of Blue Door"),
        Recommendation(2, "Red [live]", "Ann", "trending", "trending in GB"),
    ),
)
SNAPSHOT = Snapshot(
    seconds=75,
    steps=(Step("services", 5.2), Step("model")),
    flow=Flow(produced=2000, counted=COUNTED, arriving=201.4, committing=199.6, lag=10),
    open_sessions=17,
    trending=(Trend("Yellow Sea", "Ann", 12.34),),
    model=MODEL,
    model_age=65.0,
    training="next in 55 s",
    listener=LISTENER,
    notes=("the stream ended (exit code 1) and was started again, 1 of 3 times",),
    footer=("look further: encore psql", "Ctrl-C stops everything"),
)


def drawn(snapshot: Snapshot, height: int = 40, width: int = 120) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(render(snapshot, height))
    return capture.get()


def test_the_view_shows_the_flow_the_model_and_the_listener() -> None:
    text = drawn(SNAPSHOT)
    for expected in (
        "1 min 15 s",
        "services 5 s",
        "… model",
        "201 in, 200 committed",
        "10 records",
        "1.2 s, last commit 0.3 s ago",
        "1,900 (40 late)",
        "60 duplicate, 30 rejected",
        "17 open",
        "run 3 (als), published 1 min 05 s ago",
        "0.123, popularity 0.057",
        "Yellow Sea",
        "u42 · Ada [Lovelace] · London, GB",
        "3 (1 skipped)",
        "because of Blue Door",
        "Red [live]",
        "started again, 1 of 3 times",
        "encore psql",
    ):
        assert expected in text


def test_the_view_before_the_first_event_shows_the_steps_alone() -> None:
    text = drawn(Snapshot(seconds=2, steps=(Step("services"),)))
    assert "… services" in text
    assert "freshness" not in text


def test_the_view_before_the_first_batch_has_no_freshness() -> None:
    assert dict(flow_lines(Flow(produced=5, lag=5)))["freshness"] == "–, last commit – ago"


def test_the_view_without_a_model_says_so() -> None:
    assert model_lines(None, 0.0) == [("model", "none yet")]


def test_a_fallback_run_has_no_quality_to_show() -> None:
    fallback = Model(1, "fallback", MODEL.published_at, {"rows": 50}, 12)
    assert model_lines(fallback, 5) == [("model", "run 1 (fallback), published 5 s ago")]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_of_the_view_is_wider_than_the_terminal(width: int) -> None:
    assert max(len(line) for line in drawn(SNAPSHOT, width=width).splitlines()) <= width


def test_a_full_view_fits_into_a_usual_terminal() -> None:
    full = Snapshot(
        seconds=75,
        steps=SNAPSHOT.steps,
        flow=SNAPSHOT.flow,
        trending=SNAPSHOT.trending * 10,
        model=MODEL,
        listener=Listener(
            "u42", "Ada", "London", LISTENER.plays * 10, LISTENER.recommendations * 5
        ),
        footer=("a", "b", "c", "d"),
    )
    for height in (24, 32, 40, 60):
        assert len(drawn(full, height).splitlines()) <= height


def test_ages_and_spans_read_as_people_say_them() -> None:
    assert [age(None), age(0.04), age(9.94), age(75)] == ["–", "0.0 s", "9.9 s", "1 min 15 s"]
    assert [duration(59.4), duration(3_720), duration(90_000)] == ["59 s", "1 h 2 min", "1 d 1 h"]


def test_rates_are_means_over_the_last_seconds() -> None:
    rates = Rates(window_seconds=4)
    assert rates.add(0, 1000, 0) == (0.0, 0.0)
    assert rates.add(2, 1400, 100) == (200.0, 50.0)
    assert rates.add(4, 1800, 800) == (200.0, 200.0)
    assert rates.add(6, 1800, 1800) == (100.0, 425.0)


def test_a_log_line_says_how_it_goes_and_what_is_recommended() -> None:
    fields = log_fields(SNAPSHOT)
    assert fields["lag"] == 10
    assert fields["model_run"] == 3
    assert fields["recommended"] == "u42: Green Hill (personal)"
