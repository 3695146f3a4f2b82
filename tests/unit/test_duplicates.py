"""Which of the events with one id is the first, whatever lies between them."""

import random
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.duplicates import Ids, Segment, first_seen, merge, plan_change

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ONE = "0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a11"
TWO = "0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a12"


def ids(*rows: tuple[str, int]) -> Ids:
    texts = pa.chunked_array([pa.array([text for text, _ in rows], pa.string())])
    return Ids.of(texts, np.array([at for _, at in rows], np.int64))


def segment(*rows: tuple[str, int]) -> Ids:
    return ids(*rows).in_order()


def test_the_first_of_a_batch_is_kept_and_its_repeats_are_not() -> None:
    batch = ids((ONE, 1), (TWO, 1), (ONE, 2), (ONE, 3), (TWO, 3))
    assert first_seen(batch, [], DAY_MS).tolist() == [True, True, False, False, False]


def test_upper_and_lower_case_are_the_same_id() -> None:
    assert first_seen(ids((ONE, 1), (ONE.upper(), 2)), [], DAY_MS).tolist() == [True, False]
    assert first_seen(ids((ONE.upper(), 2)), [segment((ONE, 1))], DAY_MS).tolist() == [False]


def test_an_id_is_a_repeat_up_to_the_horizon_and_not_past_it() -> None:
    known = [segment((TWO, 0), (ONE, 0))]
    assert first_seen(ids((ONE, DAY_MS)), known, DAY_MS).tolist() == [False]
    assert first_seen(ids((ONE, DAY_MS + 1)), known, DAY_MS).tolist() == [True]


def test_the_horizon_runs_from_the_last_that_counted_not_from_a_repeat() -> None:
    batch = ids((ONE, 0), (ONE, 20 * HOUR_MS), (ONE, 30 * HOUR_MS), (ONE, 50 * HOUR_MS))
    assert first_seen(batch, [], DAY_MS).tolist() == [True, False, True, False]


def test_the_newest_of_several_segments_decides() -> None:
    known = [segment((ONE, 0)), segment((ONE, 30 * HOUR_MS)), segment((TWO, 5))]
    assert first_seen(ids((ONE, 40 * HOUR_MS)), known, DAY_MS).tolist() == [False]
    twice = [segment((ONE, 0), (ONE, 30 * HOUR_MS))]
    assert first_seen(ids((ONE, 40 * HOUR_MS)), twice, DAY_MS).tolist() == [False]


def test_ids_that_share_half_of_their_bits_are_told_apart() -> None:
    same_beginning = [f"00000000-0000-0000-0000-{number:012d}" for number in range(500)]
    same_end = [f"{number:08d}-0000-0000-0000-000000000001" for number in range(2, 500)]
    batch = ids(*((one, 0) for one in [*same_beginning, *same_end]))
    assert first_seen(batch, [], DAY_MS).all()
    assert not first_seen(batch, [batch.in_order()], DAY_MS).any()


def test_ids_that_share_the_word_they_are_sorted_by_are_told_apart() -> None:
    # high + low * 0x9e3779b97f4a7c15 is the same for these, and so is what is mixed from it.
    golden = 0x9E3779B97F4A7C15
    alike = [_uuid((-low * golden % 2**64) << 64 | low) for low in (3, 0, 2, 1)]
    batch = ids(*((one, 0) for one in alike))
    assert len(set(batch.mixed.tolist())) == 1
    assert first_seen(batch, [], DAY_MS).tolist() == [True] * 4
    known = [segment((alike[0], 0), (alike[2], 0), (alike[2], 5))]
    assert first_seen(batch, known, DAY_MS).tolist() == [False, True, False, True]


def test_a_segment_is_packed_in_24_bytes_an_id_and_read_back() -> None:
    packed = segment((ONE, 7), (TWO, 9)).pack()
    assert len(packed) == 48
    back = Ids.unpack(packed)
    assert first_seen(ids((ONE, 8), (TWO, 10)), [back], DAY_MS).tolist() == [False, False]
    assert sorted(back.arrived_ms.tolist()) == [7, 9]
    assert len(Ids.unpack(b"")) == 0


def test_a_merged_segment_leaves_out_what_is_past_the_horizon() -> None:
    old = segment((ONE, 0), (TWO, DAY_MS))
    kept = merge(ids(), [old], DAY_MS, DAY_MS + 1)
    assert kept.arrived_ms.tolist() == [DAY_MS]


def test_segments_too_old_to_be_of_use_are_given_up() -> None:
    stored = [Segment("old", 10, 0), Segment("young", 10, DAY_MS)]
    merged, old = plan_change(ids((ONE, DAY_MS + 1)), stored, DAY_MS, DAY_MS + 1)
    assert (merged, old) == ([], [stored[0]])


def test_a_thousand_small_batches_leave_few_segments_and_lose_nothing() -> None:
    chosen = random.Random(1)
    texts = [_uuid(chosen.getrandbits(128)) for _ in range(50_000)]
    stored: dict[str, Ids] = {}
    for number in range(1000):
        rows = [(text, number) for text in texts[number * 50 : (number + 1) * 50]]
        _store(stored, str(number), ids(*rows), DAY_MS, number)
    assert len(stored) < 40
    assert sum(map(len, stored.values())) == 50_000
    again = ids(*((text, 1000) for text in texts))
    assert not first_seen(again, stored.values(), DAY_MS).any()


Batches = Sequence[Sequence[tuple[int, int]]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=25), max_size=12),
    st.integers(0, 60),
    st.lists(st.sets(st.integers(0, 11)), min_size=12, max_size=12),
)
def test_batches_of_any_cut_and_merge_give_what_a_dictionary_gives(
    batches: Batches, horizon: int, merges: Sequence[AbstractSet[int]]
) -> None:
    stored: dict[str, Ids] = {}
    last: dict[int, int] = {}
    now = 0
    for number, batch in enumerate(batches):
        rows, expected = [], []
        for event, pause in batch:
            now += pause
            rows.append((_uuid(event << 64 if event % 2 else event), now))
            fresh = event not in last or now - last[event] > horizon
            expected.append(fresh)
            if fresh:
                last[event] = now
        if rows:
            found = first_seen(ids(*rows), stored.values(), horizon)
            assert found.tolist() == expected
            _store(stored, str(number), ids(*rows).at(found), horizon, now)
            chosen = [stored.pop(str(one)) for one in merges[number] if str(one) in stored]
            stored[f"{number} merged"] = merge(ids(), chosen, horizon, now)


def _store(stored: dict[str, Ids], name: str, new: Ids, horizon: int, now: int) -> None:
    segments = [
        Segment(one, len(rows), int(rows.arrived_ms.max(initial=0))) for one, rows in stored.items()
    ]
    merged, old = plan_change(new, segments, horizon, now)
    made = merge(new, [stored[one.name] for one in merged], horizon, now)
    for gone in [*merged, *old]:
        del stored[gone.name]
    stored[name] = made


def _uuid(number: int) -> str:
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
