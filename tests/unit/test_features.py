"""Each feature's delta for a handful of events, computed by hand."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streaming.features import items, platform, users
from streaming.features.catalogue import FeatureDeltas, HalfLives
from streaming.features.grouping import Coded, Groups, text_lists
from streaming.features.signal import Events, SignalRules, events_of
from streaming.features.times import DAY_US, FIVE_MINUTES_US, HOUR_US

RULES = SignalRules(complete_ratio=0.9, skip_ratio=0.3, like=2.0, playlist_add=3.0)
HOUR = timedelta(hours=1)
COLUMNS = pa.schema(
    [
        ("event_type", pa.string()),
        ("event_ts", pa.int64()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("session_id", pa.string()),
        ("duration_ms", pa.int64()),
        ("ms_played", pa.int64()),
        ("device", pa.string()),
        ("country", pa.string()),
        ("level", pa.string()),
    ]
)
NOTHING = {
    "plays": 0,
    "completes": 0,
    "skips": 0,
    "likes": 0,
    "unlikes": 0,
    "dislikes": 0,
    "playlist_adds": 0,
    "ms_played": 0,
}


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, 1, hour, minute, second, tzinfo=UTC)


def event(event_type: str, when: datetime, user: str = "u1", **more: Any) -> dict[str, Any]:
    listen = {"duration_ms": 200_000} if event_type == "listen" else {}
    return {
        "event_type": event_type,
        "event_ts": int(when.timestamp() * 1000),
        "user_id": user,
        "item_id": "t1",
        **listen,
        **more,
    }


def accepted(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), COLUMNS)


def events(*rows: dict[str, Any]) -> Events:
    return events_of(accepted(*rows), RULES)


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    return list(table.to_pylist())


def test_a_play_is_complete_partial_or_a_skip_by_the_share_played() -> None:
    played = (0, 59_999, 60_000, 179_999, 180_000, 400_000)
    found = events(*(event("listen", at(1), ms_played=ms) for ms in played))
    assert found.counts["completes"].tolist() == [0, 0, 0, 0, 1, 1]
    assert found.counts["skips"].tolist() == [1, 1, 0, 0, 0, 0]
    assert found.signal.tolist() == [0.0, 0.0, 0.3, 0.899995, 0.9, 1.0]


def test_likes_and_playlists_weigh_and_a_dislike_does_not() -> None:
    acts = ("like", "unlike", "dislike", "playlist_add", "page_view")
    found = events(*(event(act, at(1)) for act in acts))
    assert found.signal.tolist() == [2.0, -2.0, 0.0, 3.0, 0.0]


def test_only_a_listen_adds_time_played() -> None:
    found = events(
        event("listen", at(1), ms_played=10), event("advert", at(1), ms_played=9, duration_ms=10)
    )
    assert found.counts["ms_played"].tolist() == [10, 0]
    assert found.counts["plays"].tolist() == [1, 0]


def test_items_are_counted_by_five_minutes_of_event_time() -> None:
    found = events(
        event("listen", at(1, 4, 59), ms_played=200_000),
        event("listen", at(1, 5, 0), ms_played=20_000),
        event("like", at(1, 9, 59)),
        event("page_view", at(1, 9, 59)),
    )
    five = {"plays": 1, "completes": 1, "ms_played": 200_000}
    ten = {"plays": 1, "skips": 1, "likes": 1, "ms_played": 20_000}
    assert rows_of(items.item_counts(found, FIVE_MINUTES_US)) == [
        {"item_id": "t1", "bucket_start": at(1, 0), **NOTHING, **five},
        {"item_id": "t1", "bucket_start": at(1, 5), **NOTHING, **ten},
    ]


def test_hours_and_days_are_those_of_utc() -> None:
    found = events(event("like", at(0, 59)), event("dislike", at(23, 59)))
    assert rows_of(items.item_counts(found, HOUR_US)) == [
        {"item_id": "t1", "bucket_start": at(0), **NOTHING, "likes": 1},
        {"item_id": "t1", "bucket_start": at(23), **NOTHING, "dislikes": 1},
    ]
    assert rows_of(items.item_counts(found, DAY_US)) == [
        {"item_id": "t1", "bucket_start": at(0), **NOTHING, "likes": 1, "dislikes": 1}
    ]


def test_an_act_on_no_item_counts_for_none() -> None:
    found = events(event("like", at(1), item_id=None), event("unlike", at(1), item_id="t2"))
    assert rows_of(items.item_counts(found, DAY_US)) == [
        {"item_id": "t2", "bucket_start": at(0), **NOTHING, "unlikes": 1}
    ]


def test_a_listener_is_listed_once_in_five_minutes_and_only_for_plays() -> None:
    found = events(
        event("listen", at(1, 0), ms_played=1),
        event("listen", at(1, 5), "u3", ms_played=1),
        event("listen", at(1, 4), ms_played=1),
        event("listen", at(1, 5), "u2", ms_played=1),
        event("like", at(1, 5), "u4"),
        event("listen", at(1, 5), "u2", ms_played=1, item_id="t0"),
    )
    assert rows_of(items.item_listeners(found)) == [
        {"item_id": "t0", "bucket_start": at(1, 5), "user_ids": ["u2"]},
        {"item_id": "t1", "bucket_start": at(1, 0), "user_ids": ["u1"]},
        {"item_id": "t1", "bucket_start": at(1, 5), "user_ids": ["u2", "u3"]},
    ]


def trends(found: Events) -> Mapping[tuple[str, str], float]:
    rows = rows_of(items.item_trends(found, HOUR))
    scores = {(row["country"], row["item_id"]): row["score"] for row in rows}
    assert len(scores) == len(rows)
    return scores


def test_a_trend_halves_in_its_half_life_here_and_everywhere() -> None:
    found = events(
        event("listen", at(1), ms_played=200_000, country="AT"),
        event("like", at(3), country="DE"),
        event("listen", at(3), ms_played=1, country="FR"),  # a skip adds nothing
        event("like", at(2), "u2"),
    )
    assert trends(found) == pytest.approx(
        {("", "t1"): 1 / 4 + 2 + 2 / 2, ("AT", "t1"): 1.0, ("DE", "t1"): 2.0}
    )


def test_a_trend_is_as_of_its_own_newest_event() -> None:
    found = events(
        event("like", at(2), country="AT"),
        event("unlike", at(1), country="AT"),
        event("like", at(5), item_id="t2"),
        event("listen", at(7), ms_played=1),  # says nothing, so moves nothing
    )
    rows = rows_of(items.item_trends(found, HOUR))
    assert [(row["country"], row["item_id"], row["as_of"]) for row in rows] == [
        ("", "t1", at(2)),
        ("", "t2", at(5)),
        ("AT", "t1", at(2)),
    ]
    assert [row["score"] for row in rows] == [1.0, 2.0, 1.0]


def test_a_trend_over_years_neither_overflows_nor_vanishes() -> None:
    long_ago = datetime(2018, 11, 1, tzinfo=UTC)
    found = events(
        event("like", long_ago, item_id="old"),
        event("like", long_ago - HOUR, item_id="old"),
        event("like", at(1), item_id="new"),
        event("like", long_ago, item_id="both"),
        event("like", at(1), item_id="both"),
    )
    assert trends(found) == pytest.approx({("", "old"): 3.0, ("", "new"): 2.0, ("", "both"): 2.0})


def test_affinity_adds_up_what_a_user_gave_an_item() -> None:
    found = events(
        event("listen", at(1), ms_played=100_000),
        event("playlist_add", at(2)),
        event("listen", at(2), "u2", ms_played=2_000),
    )
    first = {"plays": 1, "playlist_adds": 1, "ms_played": 100_000}
    second = {"plays": 1, "skips": 1, "ms_played": 2_000}
    assert rows_of(users.user_item_affinity(found, HOUR)) == [
        {
            "user_id": "u1",
            "item_id": "t1",
            "signal": 0.5 / 2 + 3.0,
            **NOTHING,
            **first,
            "first_at": at(1),
            "last_at": at(2),
        },
        {
            "user_id": "u2",
            "item_id": "t1",
            "signal": 0.0,
            **NOTHING,
            **second,
            "first_at": at(2),
            "last_at": at(2),
        },
    ]


def test_a_users_day_counts_every_event() -> None:
    midnight = datetime(2026, 11, 2, tzinfo=UTC)
    found = events(
        event("login", at(1), item_id=None),
        event("listen", at(2), ms_played=10),
        event("like", midnight),
    )
    assert rows_of(users.user_counts_day(found)) == [
        {
            "user_id": "u1",
            "day": date(2026, 11, 1),
            "events": 2,
            **NOTHING,
            "plays": 1,
            "skips": 1,
            "ms_played": 10,
            "first_at": at(1),
            "last_at": at(2),
        },
        {
            "user_id": "u1",
            "day": date(2026, 11, 2),
            "events": 1,
            **NOTHING,
            "likes": 1,
            "first_at": midnight,
            "last_at": midnight,
        },
    ]


def test_a_session_runs_from_its_first_to_its_last_event() -> None:
    found = events(
        event("login", at(1), session_id="s1"),
        event("listen", at(2), session_id="s1", ms_played=200_000),
        event("logout", at(3), session_id="s1"),
        event("page_view", at(4), session_id="s2"),
        event("page_view", at(5)),
        event("login", at(6), "u2", session_id="s1"),  # a session is its user's
    )
    no_play = {"plays": 0, "completes": 0, "skips": 0, "ms_played": 0}
    assert rows_of(users.session_counts(found)) == [
        {
            "user_id": "u1",
            "session_id": "s1",
            "events": 3,
            "plays": 1,
            "completes": 1,
            "skips": 0,
            "ms_played": 200_000,
            "started_at": at(1),
            "last_event_at": at(3),
            "logged_out_at": at(3),
        },
        {
            "user_id": "u1",
            "session_id": "s2",
            "events": 1,
            **no_play,
            "started_at": at(4),
            "last_event_at": at(4),
            "logged_out_at": None,
        },
        {
            "user_id": "u2",
            "session_id": "s1",
            "events": 1,
            **no_play,
            "started_at": at(6),
            "last_event_at": at(6),
            "logged_out_at": None,
        },
    ]


def test_the_platform_is_counted_by_minute_and_by_what_is_known() -> None:
    found = events(
        event("login", at(1, 0, 1), country="AT", device="phone", level="free"),
        event("login", at(1, 1)),
        event("login", at(1, 0, 59), "u0", country="AT", device="phone", level="free"),
    )
    known = {"event_type": "login", "country": "AT", "device": "phone", "level": "free"}
    unknown = {"event_type": "login", "country": "", "device": "", "level": ""}
    assert rows_of(platform.platform_activity_minute(found)) == [
        {"minute": at(1), **known, "events": 2},
        {"minute": at(1, 1), **unknown, "events": 1},
    ]
    assert rows_of(platform.minute_users(found)) == [
        {"minute": at(1), "user_ids": ["u0", "u1"]},
        {"minute": at(1, 1), "user_ids": ["u1"]},
    ]


def test_events_before_1970_fall_into_the_bucket_that_holds_them() -> None:
    found = events(event("like", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)))
    (five,) = rows_of(items.item_counts(found, FIVE_MINUTES_US))
    assert five["bucket_start"] == datetime(1969, 12, 31, 23, 55, tzinfo=UTC)
    assert users.user_counts_day(found).column("day").to_pylist() == [date(1969, 12, 31)]


@pytest.mark.parametrize(
    "rows", [[], [event("login", at(1), item_id=None), event("page_view", at(1), item_id=None)]]
)
def test_where_nothing_was_said_of_items_their_tables_are_empty_and_have_all_columns(
    rows: list[dict[str, Any]],
) -> None:
    deltas = FeatureDeltas(RULES, HalfLives(affinity=HOUR, trend=HOUR))
    found, full = deltas(accepted(*rows)), deltas(accepted(event("like", at(1), session_id="s")))
    assert {name: table.schema for name, table in found.items()} == {
        name: table.schema for name, table in full.items()
    }
    silent = {name for name, table in found.items() if table.num_rows == 0}
    assert {
        "item_counts_5m",
        "item_counts_hour",
        "item_counts_day",
        "item_listeners",
        "item_trends",
        "user_item_affinity",
        "session_counts",
    } <= silent


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def keys_of(groups: Groups, number: int) -> list[tuple[int, ...]]:
    keys = (groups.key(one).tolist() for one in range(number))
    return list(zip(*keys, strict=True))


def test_groups_are_sorted_by_their_keys_the_first_one_first() -> None:
    groups = Groups(integers(2, 1, 2, -1, 2), integers(5, 9, 5, 0, -7), integers(0, 0, 1, 0, 0))
    assert keys_of(groups, 3) == [(-1, 0, 0), (1, 9, 0), (2, -7, 0), (2, 5, 0), (2, 5, 1)]
    assert len(groups) == 5


def test_groups_sum_and_find_the_least_and_the_greatest() -> None:
    groups = Groups(integers(7, 3, 7, 7))
    values = integers(10, -4, 20, -30)
    assert groups.key().tolist() == [3, 7]
    assert groups.sizes.tolist() == [1, 3]
    assert groups.sum(values).tolist() == [-4, 0]
    assert groups.least(values).tolist() == [-4, -30]
    assert groups.greatest(values).tolist() == [-4, 20]
    assert groups.bounds.tolist() == [0, 1, 4]


def test_no_rows_make_no_groups() -> None:
    groups = Groups(integers(), integers())
    assert (len(groups), groups.key(1).tolist(), groups.sizes.tolist()) == (0, [], [])
    assert (groups.sum(integers()).tolist(), groups.greatest(integers()).tolist()) == ([], [])
    assert groups.decayed_sum(np.array([]), integers(), 1.0).tolist() == []


# Two spans of 2^40, which together are wider than 62 bits.
WIDE = [(0, 0), (2**40, 2**40), (0, 2**40), (2**40, 0), (2**40, 0), (1, -1), (0, 0)]
# As many items as a batch may hold, and moments in microseconds from 2000 to 2026.
ITEMS_OVER_YEARS = [(item, (item % 2) * 26 * 366 * 86_400_000_000) for item in range(40_000)]


@pytest.mark.parametrize(
    "rows",
    [
        WIDE,
        [(2**62, 5), (-(2**62), 5), (0, 6), (0, 5)],
        [(5, 2**62), (5, -1), (6, 2**62), (4, 0)],
        [(one, two, three) for one, two in WIDE for three in (2**41, 0, -5)],
        ITEMS_OVER_YEARS,
    ],
    ids=["both", "first", "second", "three keys", "items over years"],
)
def test_keys_too_wide_for_one_number_together_are_told_apart_and_sorted(
    rows: Sequence[tuple[int, ...]],
) -> None:
    groups = Groups(*(integers(*column) for column in zip(*rows, strict=True)))
    assert keys_of(groups, len(rows[0])) == sorted(set(rows))
    assert groups.sizes.tolist() == [rows.count(key) for key in sorted(set(rows[:100]))] + [
        1 for _ in sorted(set(rows[100:]))
    ]


KEY = st.one_of(st.integers(-2, 2), st.integers(-(2**53), 2**53))


@given(st.lists(st.tuples(KEY, KEY, KEY, st.integers(-100, 100)), max_size=30))
@example([(0, 0, 0, 1), (2**53, 2**53, 2**53, 1), (-(2**53), 0, -(2**53), 1), (0, 0, 0, 5)])
def test_groups_are_those_of_a_plain_dict(rows: list[tuple[int, int, int, int]]) -> None:
    expected: dict[tuple[int, ...], list[int]] = {}
    for *key, value in rows:
        expected.setdefault(tuple(key), []).append(value)
    columns = [integers(*(row[number] for row in rows)) for number in range(4)]
    groups = Groups(*columns[:3])
    assert keys_of(groups, 3) == sorted(expected)
    in_order = [expected[key] for key in sorted(expected)]
    assert groups.sum(columns[3]).tolist() == [sum(one) for one in in_order]
    assert groups.least(columns[3]).tolist() == [min(one) for one in in_order]
    assert groups.sizes.tolist() == [len(one) for one in in_order]


def test_a_decayed_sum_is_as_of_the_newest_moment_of_its_group() -> None:
    groups = Groups(integers(1, 0, 1, 1))
    found = groups.decayed_sum(np.array([8.0, 5.0, 1.0, -4.0]), integers(10, 0, 40, 30), 10.0)
    assert found.tolist() == [5.0, 8 / 8 + 1 - 4 / 2]


def test_past_a_thousand_half_lives_a_signal_neither_vanishes_nor_warns() -> None:
    found = Groups(integers(0, 0)).decayed_sum(np.array([3.0, 0.0]), integers(0, 10**15), 1.0)
    assert found.tolist() == [3 * 2.0**-1000]
    found = Groups(integers(0, 0)).decayed_sum(np.array([1.0, 0.0]), integers(0, 999), 1.0)
    assert found.tolist() == [2.0**-999]


def texts(*chunks: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array(list(chunks), pa.string())


def test_texts_are_numbered_in_the_order_of_their_bytes_whatever_their_chunks() -> None:
    found = Coded.of(texts(["b", None, "Z"], [], ["a", "b", "é", ""]))
    assert found.names.to_pylist() == ["", "Z", "a", "b", "é"]
    assert found.codes.tolist() == [3, -1, 1, 2, 3, 4, 0]
    assert found.known.tolist() == [True, False, True, True, True, True, True]
    assert found.texts(integers(4, 0, 4)).to_pylist() == ["é", "", "é"]


def test_rows_that_are_kept_keep_their_numbers() -> None:
    found = Coded.of(texts(["b", None, "a"])).at(np.array([True, True, False]))
    assert found.codes.tolist() == [1, -1]
    assert found.names.to_pylist() == ["a", "b"]


@pytest.mark.parametrize("column", [texts(), texts([]), texts([None], [None])])
def test_where_no_text_is_known_there_are_no_names(column: pa.ChunkedArray) -> None:
    found = Coded.of(column)
    assert found.names.to_pylist() == []
    assert found.codes.tolist() == [-1] * len(column)
    assert found.texts(integers()).to_pylist() == []


def test_texts_between_two_bounds_become_a_list() -> None:
    texts = pa.array(["u1", 'a"b', "c", "{,}", "NULL", "x y"])
    found = text_lists(texts, integers(0, 1, 3, 3, 6)).to_pylist()
    assert found == [["u1"], ['a"b', "c"], [], ["{,}", "NULL", "x y"]]
    assert text_lists(pa.array([], pa.string()), integers(0)).to_pylist() == []


def test_what_was_shown_is_no_activity_of_anybody() -> None:
    deltas = FeatureDeltas(RULES, HalfLives(affinity=HOUR, trend=HOUR))
    found = deltas(accepted(event("impression", at(1), session_id="s1"), event("login", at(1))))
    counted = {name: table.num_rows for name, table in found.items() if table.num_rows}
    assert counted == {"user_counts_day": 1, "minute_users": 1, "platform_activity_minute": 2}


def test_events_of_deleted_users_count_where_nobody_is_named_only() -> None:
    rows = [
        event("listen", at(9), user="erin", ms_played=200_000),
        event("listen", at(9, 1), user="ada", ms_played=200_000),
        event("listen", at(9, 2), user="erin", ms_played=200_000),
    ]
    accepted = pa.Table.from_pylist(rows, COLUMNS)
    accepted = accepted.append_column("partition", pa.array([3, 3, 3], pa.int32()))
    accepted = accepted.append_column("offset", pa.array([7, 8, 9], pa.int64()))
    # SHA-256 of "erin", whose events before offset 9 of partition 3 are gone
    digest = "7cbccb0c4caadf9fcdb51ee457a828cc72a45879831b5b978ae2e2cefc449705"
    deltas = FeatureDeltas(RULES, HalfLives(HOUR, HOUR), {digest: {3: 9}})(accepted)
    assert [row["plays"] for row in deltas["item_counts_day"].to_pylist()] == [3]
    by_user = {row["user_id"]: row["plays"] for row in deltas["user_counts_day"].to_pylist()}
    assert by_user == {"ada": 1, "erin": 1}
