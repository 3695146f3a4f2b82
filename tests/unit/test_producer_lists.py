"""Listeners look at what is recommended to them, and play from it what they like."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from encore.event_rules import event_judge
from producer.lists import SHOWN, ListsReader, Notes, Row, lists_of
from producer.plan import Plan, seconds_since_2020
from producer.records import Kind
from producer.stream import Stream
from producer.world import World

LIVE_FROM_MS = 1_780_272_000_000
PLAN = Plan(
    live_from_ms=LIVE_FROM_MS,
    history_ms=0,
    users=300,
    tracks=600,
    rate=200.0,
    max_events=12_000,
    late=0,
    duplicates=0,
    from_lists=0.3,
)
JUDGE = event_judge(300_000)


def reader_of(rows: list[Row]) -> ListsReader:
    """Return a reader that has read these rows: user, variant, run, items and sources."""
    reader = ListsReader("postgresql://nowhere")
    reader.lists = lists_of(rows, reader.notes)
    return reader


def events_of(plan: Plan, reader: ListsReader | None) -> list[dict[str, Any]]:
    return [
        orjson.loads(value)
        for block in Stream(plan, reader).blocks(entities=False)
        for kind, value in zip(block.kinds, block.values, strict=True)
        if kind == Kind.EVENT
    ]


def lists_by_taste(best_first: bool) -> list[Row]:
    """Return a list of the ten tracks that each listener likes the most, or the least."""
    first = seconds_since_2020(LIVE_FROM_MS)
    world = World(PLAN.seed, PLAN.users, PLAN.tracks, LIVE_FROM_MS, 0, first)
    fits = world.taste.vectors @ world.catalogue.vectors.T
    order = np.argsort(-fits if best_first else fits, axis=1)[:, :SHOWN]
    return [
        (f"u{user + 1}", None, 7, [f"t{track + 1}" for track in tracks], ["personal"] * 10)
        for user, tracks in enumerate(order.tolist())
    ]


def click_through(events: list[dict[str, Any]]) -> float:
    """Return the share of impressions that a play in the same visit followed."""
    shown: dict[str, set[str]] = defaultdict(set)
    impressions = plays = 0
    for one in events:
        if one["event_type"] == "impression":
            shown[one["session_id"]].add(one["item_id"])
            impressions += 1
        elif one["event_type"] == "listen" and one["item_id"] in shown[one["session_id"]]:
            shown[one["session_id"]].remove(one["item_id"])
            plays += 1
    return plays / impressions


def test_rows_become_places_in_lists_and_what_is_not_of_this_world_is_left_out() -> None:
    notes = Notes()
    lists = lists_of(
        [
            ("", None, None, ["t9"], ["popular"]),
            ("u2", "x:b", 7, ["t3", "x1", "t4"], ["personal", "personal", "popular"]),
            ("ada", None, 7, ["t1"], ["personal"]),
            ("u4", "x:c", None, None, None),
        ],
        notes,
    )
    assert lists.rows(np.array([0, 1, 2, 3, 99])).tolist() == [0, 1, 0, 2, 0]
    assert lists.tracks[:, :4].tolist() == [[8, -1, -1, -1], [2, -1, 3, -1], [8, -1, -1, -1]]
    said = [notes.texts[number] for number in (*lists.notes[1, :3], lists.notes[2, 0])]
    assert said == [
        ',"position":1,"source":"personal","model_run_id":7,"variant":"x:b"',
        ',"position":2,"source":"personal","model_run_id":7,"variant":"x:b"',
        ',"position":3,"source":"popular","variant":"x:b"',
        ',"position":1,"source":"popular","variant":"x:c"',
    ]


@pytest.fixture(scope="module")
def liked() -> list[dict[str, Any]]:
    return events_of(PLAN, reader_of(lists_by_taste(best_first=True)))


def test_every_visit_begins_with_the_list_as_it_is(liked: list[dict[str, Any]]) -> None:
    rows = {who: items for who, _, _, items, _ in lists_by_taste(best_first=True)}
    visits: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in liked:
        visits[one["session_id"]].append(one)
    assert len(visits) > 200
    for events in visits.values():
        first = events[:SHOWN]
        assert [one["item_id"] for one in first] == rows[events[0]["user_id"]][: len(first)]  # type: ignore[index]
        assert [one["position"] for one in first] == list(range(1, len(first) + 1))
        assert {one["model_run_id"] for one in first} == {7}
        assert all(one["event_type"] != "impression" for one in events[SHOWN:])
    assert [JUDGE.judge(orjson.dumps(one), 2 * LIVE_FROM_MS) for one in liked]


def test_what_fits_is_played_and_what_does_not_is_not(liked: list[dict[str, Any]]) -> None:
    disliked = events_of(PLAN, reader_of(lists_by_taste(best_first=False)))
    assert click_through(liked) > 0.1
    assert click_through(disliked) < 0.02


def test_two_runs_with_lists_share_no_event_id(liked: list[dict[str, Any]]) -> None:
    again = events_of(PLAN, reader_of(lists_by_taste(best_first=True)))
    assert not {one["event_id"] for one in liked} & {one["event_id"] for one in again}


def test_a_run_that_goes_on_after_lists_uses_no_number_of_a_visit_again(
    liked: list[dict[str, Any]],
) -> None:
    back_ms = LIVE_FROM_MS + 60_000
    plan = replace(PLAN, away=((LIVE_FROM_MS + 30_000, back_ms),), until_ms=back_ms + 20_000)
    later = events_of(replace(plan, max_events=None), reader_of([]))
    assert later
    assert not {one["session_id"] for one in liked} & {one["session_id"] for one in later}


def test_lists_that_are_not_looked_at_change_nothing() -> None:
    plan = replace(PLAN, from_lists=0.0, max_events=2_000)
    assert events_of(plan, None) == events_of(replace(plan, from_lists=0.3), None)
