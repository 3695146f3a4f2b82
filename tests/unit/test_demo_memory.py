"""What the demo remembers, and how a second start goes on from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from demo.memory import Memory, World, choose_world, load, save
from encore.errors import EncoreError

FRESH = Memory(topic_id="abc", world=World(users=300), live_from_ms=1_000_000)


def test_a_first_live_run_begins_where_the_history_ends() -> None:
    assert FRESH.resumed(1_060_000).away == ((1_000_000, 1_060_000),)


def test_a_second_start_was_away_from_the_stop_to_now() -> None:
    stopped = replace(FRESH.resumed(1_060_000), stopped_ms=1_200_000)
    again = stopped.resumed(9_000_000)
    assert again.away == ((1_000_000, 1_060_000), (1_200_000, 9_000_000))
    assert again.stopped_ms is None


def test_a_start_after_a_kill_takes_it_that_events_were_produced_until_now() -> None:
    killed = FRESH.resumed(1_060_000)
    assert killed.resumed(2_000_000).away[-1] == (2_000_000, 2_000_000)


def test_spans_away_stay_in_order_when_the_clock_was_set_back() -> None:
    stopped = replace(FRESH.resumed(1_060_000), stopped_ms=1_200_000)
    assert stopped.resumed(1_100_000).away[-1] == (1_100_000, 1_100_000)
    assert stopped.resumed(1_000_500).away[-1] == (1_060_000, 1_060_000)


def test_the_history_ends_where_live_begins() -> None:
    arguments = FRESH.history_arguments()
    assert arguments[:4] == ["produce", "--quiet", "--live-from", "1000000"]
    assert arguments[-2:] == ["--until", "1000000"]
    assert arguments[arguments.index("--users") + 1] == "300"


def test_live_events_are_those_of_the_same_world_without_the_spans_away() -> None:
    arguments = FRESH.resumed(1_060_000).live_arguments()
    assert arguments[-2:] == ["--away", "1000000/1060000"]
    assert "--until" not in arguments
    assert arguments[: len(FRESH.history_arguments()) - 2] == FRESH.history_arguments()[:-2]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    held = replace(FRESH.resumed(1_060_000), history_sent=True, stopped_ms=1_200_000)
    save(tmp_path / "demo.json", held)
    assert load(tmp_path / "demo.json") == held


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"world": {"cats": 1}, "away": []}'])
def test_what_cannot_be_read_is_not_remembered(tmp_path: Path, text: str) -> None:
    (tmp_path / "demo.json").write_text(text)
    assert load(tmp_path / "demo.json") is None
    assert load(tmp_path / "none.json") is None


def test_a_world_is_chosen_by_flags_over_defaults() -> None:
    assert choose_world({"users": 300, "seed": None}, None) == World(users=300)


def test_a_remembered_world_needs_no_flags_and_refuses_others() -> None:
    remembered = World(users=300)
    assert choose_world({"users": None}, remembered) == remembered
    assert choose_world({"users": 300}, remembered) == remembered
    with pytest.raises(EncoreError, match=r"--users 5, .* --users 300.*--fresh"):
        choose_world({"users": 5}, remembered)


def test_a_history_that_is_no_span_is_refused() -> None:
    with pytest.raises(EncoreError, match="is not a span of time"):
        World(history="soon")
