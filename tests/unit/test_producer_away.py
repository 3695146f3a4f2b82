"""Going on where an earlier run stopped: new events of the same listeners and tracks."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from encore.errors import EncoreError
from producer.plan import Plan
from producer.records import Kind
from producer.spans import parse_away
from producer.stream import Stream

LIVE_FROM_MS = 1_780_272_000_000
STOPPED_MS = LIVE_FROM_MS + 90_000
BACK_MS = STOPPED_MS + 86_400_000
PLAN = Plan(
    live_from_ms=LIVE_FROM_MS, history_ms=7 * 86_400_000, users=300, tracks=800, malformed=0.0
)
FIRST = replace(PLAN, until_ms=STOPPED_MS)
SECOND = replace(PLAN, away=((STOPPED_MS, BACK_MS),), until_ms=BACK_MS + 120_000)


def records(plan: Plan) -> list[tuple[Kind, dict[str, Any]]]:
    return [
        (Kind(kind), orjson.loads(value))
        for block in Stream(plan).blocks()
        for kind, value in zip(block.kinds.tolist(), block.values, strict=True)
    ]


def entities(found: list[tuple[Kind, dict[str, Any]]], kind: Kind, key: str) -> dict[str, Any]:
    return {one[key]: one for what, one in found if what is kind}


@pytest.fixture(scope="module")
def first() -> list[tuple[Kind, dict[str, Any]]]:
    return records(FIRST)


@pytest.fixture(scope="module")
def second() -> list[tuple[Kind, dict[str, Any]]]:
    return records(SECOND)


def test_a_continued_run_sends_no_event_again(
    first: list[tuple[Kind, dict[str, Any]]], second: list[tuple[Kind, dict[str, Any]]]
) -> None:
    before = {one["event_id"] for kind, one in first if kind.is_event}
    after = {one["event_id"] for kind, one in second if kind is Kind.EVENT}
    assert len(after) > 50_000
    assert not before & after


def test_a_continued_run_holds_its_rate_from_the_end_of_the_span_away(
    second: list[tuple[Kind, dict[str, Any]]],
) -> None:
    handed = [one["produced_ts"] for kind, one in second if kind in (Kind.EVENT, Kind.LATE)]
    assert BACK_MS <= min(handed) < BACK_MS + 100
    assert sum(kind.is_event for kind, _ in second) == 60_000


def test_a_continued_run_keeps_every_listener_and_track_as_announced(
    first: list[tuple[Kind, dict[str, Any]]], second: list[tuple[Kind, dict[str, Any]]]
) -> None:
    for kind, key, changing in (
        (Kind.USER, "user_id", {"level", "updated_ts"}),
        (Kind.ITEM, "item_id", set()),
    ):
        before, again = entities(first, kind, key), entities(second, kind, key)
        for name in before.keys() & again.keys():
            assert {k: v for k, v in before[name].items() if k not in changing} == {
                k: v for k, v in again[name].items() if k not in changing
            }


def test_whoever_acts_in_a_continued_run_has_been_announced(
    first: list[tuple[Kind, dict[str, Any]]], second: list[tuple[Kind, dict[str, Any]]]
) -> None:
    known = entities(first, Kind.USER, "user_id") | entities(second, Kind.USER, "user_id")
    assert {one["user_id"] for kind, one in second if kind is Kind.EVENT} <= known.keys()


def test_a_continued_run_sends_few_entities_again(
    second: list[tuple[Kind, dict[str, Any]]],
) -> None:
    assert sum(not kind.is_event for kind, _ in second) < 200


def test_sessions_do_not_span_the_time_away(
    first: list[tuple[Kind, dict[str, Any]]], second: list[tuple[Kind, dict[str, Any]]]
) -> None:
    before = {(one["user_id"], one["session_id"]) for kind, one in first if kind is Kind.EVENT}
    after = {(one["user_id"], one["session_id"]) for kind, one in second if kind is Kind.EVENT}
    assert not before & after


def test_a_run_away_from_the_start_of_live_sends_only_what_follows() -> None:
    away = ((LIVE_FROM_MS, LIVE_FROM_MS + 5_000),)
    found = records(replace(PLAN, away=away, until_ms=LIVE_FROM_MS + 6_000))
    assert sum(kind.is_event for kind, _ in found) == 500


def test_spans_away_that_overlap_are_refused() -> None:
    with pytest.raises(EncoreError, match="must follow each other"):
        replace(PLAN, away=((STOPPED_MS, BACK_MS), (STOPPED_MS, BACK_MS)))


def test_a_span_away_is_two_moments() -> None:
    assert parse_away("2026-06-01T00:00:00Z/1780272005000") == (LIVE_FROM_MS, LIVE_FROM_MS + 5_000)
    with pytest.raises(EncoreError, match="FROM/TO"):
        parse_away("2026-06-01")
