"""From behaviour to the ordered stream of records, with what real senders do to one.

A share of the events is late: an offline phone hands over what happened minutes to hours ago. A
share comes twice, the same bytes some records later. A malformed record is a spoiled copy beside
the good event. Entities go out before the first event that needs them. Everything but late and
repeated records keeps the order in which it happened.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from producer.announcing import Announcer
from producer.arrays import Bools, Doubles, Ints
from producer.behaviour import DISLIKE, LIKE, LISTEN, PLAYLIST_ADD, Behaviour
from producer.encoding import Encoder, event_ids
from producer.lists import ListsReader, Notes
from producer.malformed import spoil
from producer.plan import Plan, seconds_since_2020
from producer.randomness import named_rng
from producer.records import Extra, Kind, RecordBlock
from producer.timeline import Chapter, Timeline
from producer.world import World

_EARLIEST_LATE_MS: Final = 11 * 60_000
_LATEST_LATE_MS: Final = 6 * 3_600_000
_DUPLICATE_WITHIN: Final = 250
_OFFLINE_CODES: Final = (LISTEN, LIKE, DISLIKE, PLAYLIST_ADD)


class _Share:
    """Takes an exact share of ever more things: fractions are carried over."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._owed = 0.0

    def of(self, count: int) -> int:
        self._owed += self._share * count
        whole = int(self._owed)
        self._owed -= whole
        return whole


class Stream:
    """The records of a plan. ``blocks`` may be run through once."""

    def __init__(self, plan: Plan, lists: ListsReader | None = None) -> None:
        """Take the plan, and what reads the lists that listeners choose from, if they do."""
        self._plan = plan
        self._reader = lists
        self._world = World(
            plan.seed,
            plan.users,
            plan.tracks,
            plan.live_from_ms,
            plan.history_ms,
            seconds_since_2020(plan.begin_ms),
        )
        self._encoder = Encoder(self._world, lists.notes if lists else Notes())
        self._announcer = Announcer(self._world, self._encoder)
        self._rng = named_rng(plan.seed, "stream", plan.identity)
        # What listeners choose from lists happens once: another run has other events, and so other
        # ids, or they would be taken for repeats.
        self._live_ids = np.random.default_rng() if lists else self._rng
        self._late = _Share(plan.late)
        self._twice = _Share(plan.duplicates)
        self._spoiled = _Share(plan.malformed)
        self._pending: list[Extra] = []
        self._good = 0
        self._ticks = 0
        self._last_due = plan.begin_ms

    def blocks(self, *, entities: bool = True) -> Iterator[RecordBlock]:
        """Yield the records in order, entities first, until the plan's end if it has one.

        Without ``entities`` the events are the same and the entities are left out.
        """
        for block in self._all_blocks():
            kept = self._unsent(block if entities else block.events_only())
            if len(kept):
                yield kept

    def _all_blocks(self) -> Iterator[RecordBlock]:
        yield from self._announcer.everybody(self._plan.begin_ms)
        left = self._plan.max_events
        for chapter in Timeline(self._plan, self._world, self._reader).chapters():
            block = self._block(chapter)
            cut = self._cut_at_end(block, left)
            if len(cut):
                yield cut
            if left is not None:
                left -= int((cut.kinds <= Kind.MALFORMED).sum())
            if len(cut) < len(block) or left == 0 or self._is_over(chapter):
                return

    # --- events -------------------------------------------------------------------------------

    def _block(self, chapter: Chapter) -> RecordBlock:
        """Make the records of a chapter: place them, time them, encode them, put them in order."""
        self._encoder.catch_up()
        if chapter.not_before:
            self._ticks = max(self._ticks, self._first_tick(chapter.not_before))
        behaviour = self._by_hand_over(chapter.behaviour)
        count = len(behaviour)
        twice = self._drawn(self._twice, count)
        spoiled = self._drawn(self._spoiled, count)
        away = self._rng.integers(0, _DUPLICATE_WITHIN, len(twice))
        twice_at = (self._good + twice + away).astype(np.float64) + 0.5
        spoiled_at = (self._good + spoiled).astype(np.float64) + 0.25
        produced = self._produced(chapter, behaviour, twice_at, spoiled_at)
        happened, kinds = self._happened(behaviour, produced)
        ids = self._live_ids if chapter.live else self._rng
        values = self._encoder.events(behaviour, happened, produced, event_ids(ids, count))
        keys = [self._encoder.keys[user] for user in behaviour.user.tolist()]
        extras = self._pending + self._announcer.released(chapter.released, self._good)
        extras += self._announcer.newcomers(behaviour, self._good)
        extras += self._announcer.level_changes(behaviour, happened, self._good)
        extras += [
            Extra(place, Kind.DUPLICATE, keys[index], values[index])
            for place, index in zip(twice_at.tolist(), twice.tolist(), strict=True)
        ]
        extras += self._malformed(spoiled, spoiled_at, keys, values, ids)
        return self._merge(chapter, kinds, keys, values, produced, extras)

    def _by_hand_over(self, behaviour: Behaviour) -> Behaviour:
        delay = self._world.people.delay_ms[behaviour.user]
        return behaviour.take(np.argsort(behaviour.time + delay, kind="stable"))

    def _drawn(self, share: _Share, count: int) -> Ints:
        drawn = self._rng.choice(max(count, 1), share.of(count), replace=False)
        return np.sort(drawn).astype(np.int64)

    def _produced(
        self, chapter: Chapter, behaviour: Behaviour, twice_at: Doubles, spoiled_at: Doubles
    ) -> Ints:
        """Return when each event is handed over: live, on the ticks of the rate that repeated
        and malformed records leave to it.
        """
        if not chapter.live:
            delay = self._world.people.delay_ms[behaviour.user]
            return (behaviour.time + delay).astype(np.int64)
        pending = [extra.place for extra in self._pending]
        between = np.sort(np.concatenate([twice_at, spoiled_at, pending]))
        index = np.arange(len(behaviour))
        before = np.searchsorted(between, self._good + index)
        return self._tick(self._ticks + index + before)

    def _tick(self, number: Ints) -> Ints:
        elapsed = np.floor(number * (1000.0 / self._plan.rate)).astype(np.int64)
        return np.asarray(self._plan.live_from_ms + elapsed)

    def _first_tick(self, moment: int) -> int:
        return math.ceil((moment - self._plan.live_from_ms) * self._plan.rate / 1000)

    def _happened(self, behaviour: Behaviour, produced: Ints) -> tuple[Ints, list[Kind]]:
        """Return when each event happened and whether it is late; a late one gets a session of
        its own, as it was not part of the visit it is handed over in.
        """
        happened = produced - self._world.people.delay_ms[behaviour.user]
        count = self._late.of(len(behaviour))
        able = np.flatnonzero(np.isin(behaviour.code, _OFFLINE_CODES))
        late = np.sort(self._rng.choice(able, min(count, len(able)), replace=False))
        span = np.log(_LATEST_LATE_MS / _EARLIEST_LATE_MS)
        delay = _EARLIEST_LATE_MS * np.exp(self._rng.random(len(late)) * span)
        happened[late] -= delay.astype(np.int64)
        users = behaviour.user[late]
        np.add.at(self._world.visits, users, 1)
        behaviour.visit[late] = self._world.visits[users]
        kinds = [Kind.EVENT] * len(behaviour)
        for index in late.tolist():
            kinds[index] = Kind.LATE
        return happened, kinds

    def _malformed(
        self,
        spoiled: Ints,
        places: Doubles,
        keys: list[bytes],
        values: list[bytes],
        ids: np.random.Generator,
    ) -> list[Extra]:
        good = [values[index] for index in spoiled.tolist()]
        copies = spoil(good, event_ids(ids, len(good)), self._rng)
        return [
            Extra(place, Kind.MALFORMED, keys[index], value)
            for place, index, (_, value) in zip(
                places.tolist(), spoiled.tolist(), copies, strict=True
            )
        ]

    # --- order --------------------------------------------------------------------------------

    def _merge(
        self,
        chapter: Chapter,
        kinds: list[Kind],
        keys: list[bytes],
        values: list[bytes],
        produced: Ints,
        extras: list[Extra],
    ) -> RecordBlock:
        end = self._good + len(keys)
        now = [extra for extra in extras if extra.place < end]
        self._pending = [extra for extra in extras if extra.place >= end]
        places = np.concatenate([np.arange(self._good, end), [extra.place for extra in now]])
        order = np.argsort(places, kind="stable")
        picks = order.tolist()
        all_kinds = np.array(kinds + [extra.kind for extra in now], dtype=np.uint8)[order]
        all_keys, all_values = (keys + [x.key for x in now]), (values + [x.value for x in now])
        self._good = end
        return RecordBlock(
            all_kinds,
            [all_keys[pick] for pick in picks],
            [all_values[pick] for pick in picks],
            self._due(chapter, all_kinds <= Kind.MALFORMED, produced, order),
            chapter.live,
        )

    def _due(self, chapter: Chapter, is_event: Bools, produced: Ints, order: Ints) -> Ints:
        """Return when each record is due; what stands between good events follows the one
        before it, and live every event record has a tick of its own.
        """
        if chapter.live:
            ticks = self._ticks + np.cumsum(is_event) - 1
            self._ticks += int(is_event.sum())
            return self._tick(np.maximum(ticks, 0))
        padded = np.concatenate([produced, np.zeros(len(order) - len(produced), dtype=np.int64)])
        due = np.maximum.accumulate(np.concatenate([[self._last_due], padded[order]]))[1:]
        self._last_due = int(due[-1]) if len(due) else self._last_due
        return np.asarray(due, dtype=np.int64)

    def _cut_at_end(self, block: RecordBlock, left: int | None) -> RecordBlock:
        stop = len(block)
        if self._plan.until_ms is not None:
            stop = min(stop, int(np.searchsorted(block.due, self._plan.until_ms)))
        if left is not None:
            events = np.cumsum(block.kinds <= Kind.MALFORMED)
            stop = min(stop, int(np.searchsorted(events, left, side="left")) + 1)
        return block.part(0, stop)

    def _unsent(self, block: RecordBlock) -> RecordBlock:
        """Leave out what an earlier run has sent. Which entities it had come to before it went
        away first is known; those that followed are sent again, which changes nothing.
        """
        if not self._plan.away:
            return block
        away_first, back_last = self._plan.away[0][0], self._plan.away[-1][1]
        is_event = block.kinds <= Kind.MALFORMED
        return block.take(np.where(is_event, block.due >= back_last, block.due >= away_first))

    def _is_over(self, chapter: Chapter) -> bool:
        """Return whether nothing can follow, so that no live chapter is made in vain."""
        until = self._plan.until_ms
        return until is not None and not chapter.live and self._last_due >= until
