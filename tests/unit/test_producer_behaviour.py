"""Listeners behave as the field's figures say, and as someone would who has a taste."""

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest

from producer.places import CITIES, city_shares
from producer.plan import Plan
from producer.population import NamePools, make_population
from producer.records import Kind
from producer.rhythm import city_inclination, local_hour_of_week, weekly_weights
from producer.stream import Stream
from producer.taste import drift, make_taste, match, scene_vectors
from producer.timeline import live_pace

LIVE_FROM_MS = 1_780_272_000_000  # Monday 2026-06-01 00:00 UTC
PLAN = Plan(
    live_from_ms=LIVE_FROM_MS,
    history_ms=14 * 86_400_000,
    users=3_000,
    tracks=6_000,
    until_ms=LIVE_FROM_MS,
    late=0.0,
)
Event = dict[str, Any]


@pytest.fixture(scope="module")
def sessions() -> list[list[Event]]:
    """Events of each session, in order."""
    found: dict[str, list[Event]] = defaultdict(list)
    for block in Stream(PLAN).blocks(entities=False):
        for kind, value in zip(block.kinds, block.values, strict=True):
            if kind == Kind.EVENT:
                event = orjson.loads(value)
                found[event["session_id"]].append(event)
    return list(found.values())


def listens(sessions: list[list[Event]]) -> list[Event]:
    return [one for session in sessions for one in session if one["event_type"] == "listen"]


def test_what_follows_a_song_is_calibrated(sessions: list[list[Event]]) -> None:
    following: Counter[str] = Counter()
    of_free: Counter[str] = Counter()
    for session in sessions:
        for event, after in pairwise(session):
            if event["event_type"] == "listen":
                name = "home" if after.get("page") == "Home" else after["event_type"]
                following[name] += 1
                of_free[name] += event["level"] == "free"
    share = {name: count / following.total() for name, count in following.items()}
    assert share["listen"] == pytest.approx(0.75, abs=0.03)
    assert share["like"] == pytest.approx(0.05, abs=0.008)
    assert share["playlist_add"] == pytest.approx(0.025, abs=0.005)
    assert share["home"] == pytest.approx(0.02, abs=0.004)
    assert share["logout"] == pytest.approx(0.02, abs=0.004)
    assert share["dislike"] == pytest.approx(0.01, abs=0.003)
    assert of_free["advert"] / of_free.total() == pytest.approx(0.08, abs=0.008)


def test_paying_listeners_hear_no_adverts(sessions: list[list[Event]]) -> None:
    adverts = [one for session in sessions for one in session if one["event_type"] == "advert"]
    assert {one["level"] for one in adverts} == {"free"}


def test_about_half_of_the_plays_are_skipped(sessions: list[list[Event]]) -> None:
    share = np.array([one["ms_played"] / one["duration_ms"] for one in listens(sessions)])
    assert (share < 0.3).mean() == pytest.approx(0.5, abs=0.04)
    assert (share == 1).mean() == pytest.approx(0.43, abs=0.05)
    assert share.max() <= 1


def test_events_of_a_session_are_ninety_seconds_apart(sessions: list[list[Event]]) -> None:
    gaps = [
        after["event_ts"] - event["event_ts"]
        for session in sessions
        for event, after in pairwise(session)
    ]
    assert np.mean(gaps) == pytest.approx(90_000, rel=0.12)


def test_a_play_takes_the_time_it_says(sessions: list[list[Event]]) -> None:
    for session in sessions:
        for event, after in pairwise(session):
            if after["event_type"] == "listen":
                # The two stamps are rounded down to milliseconds each.
                assert after["event_ts"] - event["event_ts"] >= after["ms_played"] - 1


def test_sessions_of_a_listener_do_not_overlap(sessions: list[list[Event]]) -> None:
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for session in sessions:
        spans[session[0]["user_id"]].append((session[0]["event_ts"], session[-1]["event_ts"]))
    for own in spans.values():
        own.sort()
        assert all(end < begin for (_, end), (begin, _) in pairwise(own))


def test_sessions_are_a_week_apart_on_average_with_a_heavy_tail(
    sessions: list[list[Event]],
) -> None:
    counts = Counter(session[0]["user_id"] for session in sessions)
    assert len(sessions) / 3_000 / 2 == pytest.approx(1.0, rel=0.15)
    assert max(counts.values()) > 12
    assert sum(count == 1 for count in counts.values()) > 500


def test_likes_and_dislikes_follow_the_taste(sessions: list[list[Event]]) -> None:
    complete: dict[str, list[bool]] = {"like": [], "dislike": []}
    for session in sessions:
        for event, after in pairwise(session):
            if event["event_type"] == "listen" and after["event_type"] in complete:
                assert after["item_id"] == event["item_id"]
                whole = event["ms_played"] == event["duration_ms"]
                complete[after["event_type"]].append(whole)
    assert np.mean(complete["like"]) > 0.8
    assert np.mean(complete["dislike"]) < 0.05


def test_an_unlike_takes_back_something_that_was_liked() -> None:
    liked: dict[str, set[str]] = defaultdict(set)
    taken_back = 0
    for block in Stream(PLAN).blocks(entities=False):
        for kind, value in zip(block.kinds, block.values, strict=True):
            if kind <= Kind.LATE:
                event = orjson.loads(value)
                if event["event_type"] == "like":
                    liked[event["user_id"]].add(event["item_id"])
                elif event["event_type"] == "unlike":
                    taken_back += 1
                    assert event["item_id"] in liked[event["user_id"]]
    assert taken_back > 10


def test_popularity_has_a_long_tail(sessions: list[list[Event]]) -> None:
    plays = sorted(Counter(one["item_id"] for one in listens(sessions)).values(), reverse=True)
    tenth = sum(plays[: len(plays) // 10]) / sum(plays)
    assert 0.35 < tenth < 0.75
    assert len(plays) > 3_000


def test_listeners_keep_to_few_scenes_of_their_own() -> None:
    scenes = scene_vectors(7)
    rng = np.random.default_rng(1)
    taste = make_taste(rng, 7, rng.integers(0, len(CITIES), 2_000), scenes)
    fit = match(taste.vectors[:, None, :], scenes[taste.scenes])
    assert fit.mean() > 1.2
    assert (np.diff(taste.shares, axis=1) >= 0).all()
    assert (taste.shares[:, -1] == 1).all()


def test_taste_drifts_slowly() -> None:
    scenes = scene_vectors(7)
    rng = np.random.default_rng(1)
    before = make_taste(rng, 7, rng.integers(0, len(CITIES), 2_000), scenes)
    after = drift(before, scenes, rng)
    kept = np.mean([
        len(set(old) & set(new)) / 6
        for old, new in zip(before.scenes.tolist(), after.scenes.tolist(), strict=True)
    ])  # fmt: skip
    assert 0.7 < kept < 0.98
    assert after.vectors.std() == pytest.approx(before.vectors.std(), rel=0.02)


def test_the_rhythm_is_that_of_the_local_time() -> None:
    # 2026-06-01T00:00Z is Monday 09:00 in Tokyo and Sunday 20:00 in New York.
    assert local_hour_of_week("Asia/Tokyo", LIVE_FROM_MS) == 9
    assert local_hour_of_week("America/New_York", LIVE_FROM_MS) == 6 * 24 + 20
    inclination = city_inclination(np.array([LIVE_FROM_MS]))[:, 0]
    cities = [city.name for city in CITIES]
    assert inclination[cities.index("New York")] > inclination[cities.index("London")]
    assert weekly_weights().mean() == pytest.approx(1.0)


def test_evenings_are_busier_than_nights(sessions: list[list[Event]]) -> None:
    zones = {city.name: city.time_zone for city in CITIES}
    hours = Counter(
        local_hour_of_week(zones[session[0]["city"]], session[0]["event_ts"]) % 24
        for session in sessions
    )
    assert sum(hours[hour] for hour in (18, 19, 20)) > 5 * sum(hours[hour] for hour in (2, 3, 4))


def test_every_time_zone_and_share_of_the_table_is_valid() -> None:
    assert sum(city_shares()) == pytest.approx(1.0)
    assert city_inclination(np.array([LIVE_FROM_MS])).min() > 0


def test_two_in_twelve_listeners_pay() -> None:
    people = make_population(7, NamePools(7), 6_000, LIVE_FROM_MS, 14 * 86_400_000)
    assert people.levels.mean() == pytest.approx(2 / 12, abs=0.02)
    assert len(set(people.names)) > 4_000


def test_live_has_at_most_a_tenth_online_and_says_its_time_lapse() -> None:
    pace = live_pace(Plan(live_from_ms=LIVE_FROM_MS, history_ms=0, users=5_000, rate=500))
    assert pace.online == 500
    assert pace.time_lapse == pytest.approx(90)
    natural = live_pace(Plan(live_from_ms=LIVE_FROM_MS, history_ms=0, users=5_000, rate=2))
    assert natural.online == 180
    assert natural.time_lapse == 1
