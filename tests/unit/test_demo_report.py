"""The verdict of the demo, from literal findings."""

from dataclasses import replace
from datetime import UTC, datetime

from demo.report import Findings, build_report, find_problems, summary_lines
from demo.snapshot import Model, Outcome, Step, TopicProgress

GOOD = Findings(
    events_topic="music.events",
    ends={"music.events": 1100, "music.users": 10},
    ends_before={"music.events": 100, "music.users": 10},
    acknowledged={"music.events": 1000, "music.users": 0},
    progress={
        "music.events": TopicProgress(100, 1100, accepted=950, late=9, duplicate=40, rejected=10),
        "music.users": TopicProgress(0, 10, accepted=10),
    },
    rows={"user_item_affinity": 500, "rejected_events": 10, "model_artifacts": 80},
    model=Model(
        model_run_id=2,
        algorithm="als",
        published_at=datetime(2026, 5, 1, tzinfo=UTC),
        metrics={"als": {"ndcg@10": 0.2}, "popularity": {"ndcg@10": 0.1}},
        interactions=400,
    ),
    first_recommendation_seconds=71.26,
    steps=(Step("services", 5.04), Step("drained", 2.0)),
    seconds=130.0,
)


def test_a_demo_that_worked_has_no_problems_and_its_counts_at_the_top() -> None:
    report = build_report(GOOD)
    assert report["ok"] is True
    assert report["problems"] == []
    assert [report[key] for key in ("produced", "accepted", "late", "duplicate", "rejected")] == [
        1000, 950, 9, 40, 10,
    ]  # fmt: skip
    assert report["topics"]["music.users"]["accepted"] == 10
    assert report["seconds_to_first_recommendation"] == 71.3
    assert report["steps"] == {"services": 5.0, "drained": 2.0}
    assert report["model"]["beats_popularity"] is True


def test_counts_that_do_not_add_up_are_a_problem() -> None:
    short = TopicProgress(100, 1100, accepted=949, duplicate=40, rejected=10)
    found = replace(GOOD, progress={"music.events": short})
    assert find_problems(found) == [
        "accepted 949 + duplicate 40 + rejected 10 = 999, but 1000 were produced"
    ]
    assert build_report(found)["ok"] is False


def test_no_events_at_all_is_one_problem() -> None:
    found = replace(
        GOOD,
        ends={"music.events": 0},
        ends_before={},
        acknowledged={},
        progress={},
    )
    assert find_problems(found) == ["no events reached music.events"]


def test_an_empty_table_is_a_problem_unless_it_may_be_empty() -> None:
    found = replace(
        GOOD, rows={"sessions": 0, "rejected_events": 0, "model_artifacts": 80, "users": 3}
    )
    assert find_problems(found) == ["sessions is empty"]


def test_a_model_without_factors_is_a_problem_and_a_fallback_is_not() -> None:
    without = {"user_item_affinity": 500, "model_artifacts": 0}
    assert find_problems(replace(GOOD, rows=without)) == ["the model has no files"]
    fallback = Model(2, "fallback", datetime(2026, 5, 1, tzinfo=UTC), {"rows": 50}, 12)
    assert find_problems(replace(GOOD, rows=without, model=fallback)) == []


def test_no_recommendations_are_a_problem() -> None:
    found = replace(GOOD, model=None, first_recommendation_seconds=None)
    assert find_problems(found) == [
        "no recommendations were published",
        "no recommendation was seen",
    ]
    assert build_report(found)["model"] is None


def test_fewer_records_in_kafka_than_acknowledged_are_a_problem() -> None:
    found = replace(GOOD, acknowledged={"music.events": 1001})
    assert find_problems(found) == ["music.events grew by 1000, but 1001 were acknowledged"]


def test_the_summary_for_a_person_says_how_the_counts_close() -> None:
    assert summary_lines(build_report(GOOD)) == [
        "1,000 events produced = 950 accepted (9 of them late) + 40 duplicate + 10 rejected",
        "first recommendation after 71.3 s",
        "model run 2 (als): NDCG@10 0.200, popularity 0.100",
    ]


def test_the_summary_says_what_was_played_of_what_was_shown() -> None:
    shown = (Outcome("personal", 1000, 120), Outcome("popular", 200, 6))
    report = build_report(replace(GOOD, outcomes=shown))
    assert report["click_through"]["rate"] == 0.105
    assert summary_lines(report)[-1] == (
        "10.5% of 1,200 recommendations shown were played (personal 12.0%, popular 3.0%)"
    )
