"""The run of time: who begins a session when, in the history and then live.

The history follows the calendar. Live, the rate is given: sessions begin so that at most a tenth
of the listeners is online, and where that gives fewer events a second than asked for, their gaps
are compressed (a time-lapse). The order of what happens is the same either way; ``stream`` puts
the n-th live record on the n-th tick of the rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from producer.arrays import Doubles, Ints
from producer.behaviour import SUBSCRIPTION, Behaviour, no_behaviour
from producer.lists import ListsReader
from producer.looking import Look
from producer.plan import Plan, seconds_since_2020
from producer.population import WEEK_MS
from producer.randomness import named_rng
from producer.rhythm import HOUR_MS, WEEK_HOURS, city_inclination
from producer.sessions import MEAN_EVENTS, MEAN_GAP_MS, simulate
from producer.world import World

ONLINE_SHARE: Final = 0.1
_SESSIONS_A_BLOCK: Final = 300
_EVENTS_A_BLOCK: Final = 6_000
_BREAK_MS: Final = 45 * 60_000
_FIRST_VISIT_AFTER_MS: Final = 20_000
_EVENTS_A_NEWCOMER: Final = 5_000
_EVENTS_A_RELEASE: Final = 4_000
_NO_INDICES: Final[Ints] = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Chapter:
    """What happened in one block of time, in order; ``released`` are tracks that came out
    before any of it, and ``live`` tells the phase. ``not_before`` is where time goes on after a
    span away, in epoch ms.
    """

    behaviour: Behaviour
    released: Ints
    live: bool
    not_before: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How the live phase reaches its rate: sessions online and the compression of their gaps."""

    online: float
    time_lapse: float


def live_pace(plan: Plan) -> Pace:
    """Return how many listeners are online at the plan's rate and how fast their time runs."""
    natural = plan.rate * MEAN_GAP_MS / 1000
    online = max(1.0, min(plan.users * ONLINE_SHARE, natural))
    return Pace(online, max(1.0, natural / online))


def expected_history_events(plan: Plan) -> float:
    """Return about how many events the history has at natural activity."""
    return plan.users * MEAN_EVENTS * plan.history_ms / WEEK_MS


class Timeline:
    """The chapters of a plan, history first, then live without end."""

    def __init__(self, plan: Plan, world: World, lists: ListsReader | None = None) -> None:
        self._plan = plan
        self._world = world
        self._reader = lists
        self._choice = named_rng(plan.seed, "lists", plan.identity)
        self._rng = named_rng(plan.seed, "behaviour", plan.identity)
        self._pace = live_pace(plan)
        scale = 1.0
        if plan.history_events and plan.history_ms:
            scale = plan.history_events / expected_history_events(plan)
        self._activity_scale = scale
        self._weeks_drifted = 0
        self._released_before = plan.begin_ms
        self._away = list(plan.away)

    def chapters(self) -> Iterator[Chapter]:
        """Yield what happens, block by block."""
        yield from self._history()
        yield from self._live()

    # --- history ------------------------------------------------------------------------------

    def _history(self) -> Iterator[Chapter]:
        plan, carried = self._plan, no_behaviour()
        begin = plan.begin_ms
        while begin < plan.live_from_ms:
            hours = self._hours_a_block()
            end = min(begin + hours * HOUR_MS, plan.live_from_ms)
            self._drift_until(begin)
            released = self._release_until(begin)
            users, starts = self._starters(begin, end)
            new = simulate(self._world, users, starts, self._rng)
            happened = carried.joined(new).in_order()
            delay = self._world.people.delay_ms[happened.user]
            past = happened.time + delay < end
            carried = happened.take(~past)
            yield Chapter(happened.take(past), released, live=False)
            begin = end
        self._forget(carried)

    def _hours_a_block(self) -> int:
        an_hour = self._world.size * self._activity_scale / WEEK_HOURS
        return next((span for span in (1, 2, 4) if an_hour * span >= _SESSIONS_A_BLOCK), 8)

    def _starters(self, begin: int, end: int) -> tuple[Ints, Doubles]:
        """Draw who begins a session within the block, at most one each, and when (ms)."""
        world = self._world
        hours = np.arange(begin, end, HOUR_MS)
        lengths = np.minimum(hours + HOUR_MS, end) - hours
        by_city = city_inclination(hours) * lengths / HOUR_MS
        cumulative = np.cumsum(by_city, axis=1)
        an_hour = world.people.sessions_a_week * self._activity_scale / WEEK_HOURS
        expected = an_hour * cumulative[world.people.cities, -1]
        comes = self._rng.random(world.size) < 1 - np.exp(-expected)
        comes &= world.registered(begin)
        users = np.flatnonzero(comes)
        own = cumulative[world.people.cities[users]]
        point = self._rng.random(len(users)) * own[:, -1]
        hour = np.minimum((own <= point[:, None]).sum(axis=1), len(hours) - 1)
        starts = hours[hour] + self._rng.random(len(users)) * lengths[hour]
        free = starts > world.busy_until[users] + _BREAK_MS
        users, starts = users[free], starts[free]
        new = np.flatnonzero((world.people.registered > begin) & (world.people.registered <= end))
        first = world.people.registered[new] + _FIRST_VISIT_AFTER_MS
        return np.concatenate([users, new]), np.concatenate([starts, first.astype(np.float64)])

    def _release_until(self, begin: int) -> Ints:
        released = self._world.catalogue.released
        new = np.flatnonzero((released > self._released_before) & (released <= begin))
        if len(new):
            self._world.release_until(begin)
        self._released_before = begin
        return new.astype(np.int64)

    def _drift_until(self, now: int) -> None:
        while now >= self._plan.begin_ms + (self._weeks_drifted + 1) * WEEK_MS:
            self._weeks_drifted += 1
            self._world.drift(self._weeks_drifted)

    def _forget(self, unsent: Behaviour) -> None:
        """Undo the changes of level that the end of the history cuts off."""
        changed = unsent.user[unsent.code == SUBSCRIPTION]
        users, times = np.unique(changed, return_counts=True)
        self._world.people.levels[users[times % 2 == 1]] ^= 1

    # --- live ---------------------------------------------------------------------------------

    def _live(self) -> Iterator[Chapter]:
        """Yield endless chapters. ``now`` is the listeners' own time, which a time-lapse makes
        run ahead of the stream's.
        """
        carried, now, sent = no_behaviour(), float(self._plan.live_from_ms), 0
        self._world.busy_until[:] = 0
        overdue = self._release_until(self._plan.live_from_ms)
        while True:
            online = self._pace.online
            events = max(_EVENTS_A_BLOCK, 3 * online)
            span = min(events / online, MEAN_EVENTS) * MEAN_GAP_MS
            real = self._plan.live_from_ms + round(sent * 1000 / self._plan.rate)
            not_before = self._back_at(real)
            if not_before > real:
                self._forget(carried)
                carried, now = no_behaviour(), now + not_before - real
                sent += round((not_before - real) * self._plan.rate / 1000)
                real = not_before
                if self._reader:
                    self._world.number_visits_from(seconds_since_2020(not_before))
            self._drift_until(real)
            released = np.concatenate([overdue, self._arrivals(real, online * span / MEAN_GAP_MS)])
            overdue = _NO_INDICES
            users = self._live_starters(now, real, online * span / (MEAN_EVENTS * MEAN_GAP_MS))
            starts = now + self._rng.random(len(users)) * span
            new = simulate(self._world, users, starts, self._rng, self._look())
            happened = carried.joined(new).in_order()
            past = happened.time < now + span
            carried = happened.take(~past)
            chapter = Chapter(happened.take(past), released, live=True, not_before=not_before)
            sent += len(chapter.behaviour)
            now += span
            yield chapter

    def _look(self) -> Look | None:
        """Return the lists of now to look at, if there are any."""
        lists = self._reader.lists if self._reader else None
        return Look(lists, self._plan.from_lists, self._choice) if lists else None

    def _back_at(self, real: int) -> int:
        """Return the end of the span away that has begun by now, or 0 if none has."""
        back = 0
        while self._away and max(real, back) >= self._away[0][0]:
            back = self._away.pop(0)[1]
        return back

    def _live_starters(self, now: float, real: int, expected: float) -> Ints:
        """Draw who begins a session, by activity and local time, among those not online."""
        world = self._world
        free = world.busy_until < now
        free &= world.registered(real)
        inclination = city_inclination(np.array([real]))[world.people.cities, 0]
        weight = np.where(free, world.people.sessions_a_week * inclination, 0.0)
        count = min(int(self._rng.poisson(expected)), int(free.sum()))
        newcomers = world.never_seen(self._plan.users)
        weight[newcomers] = np.inf
        count = min(max(count, len(newcomers), 1), int((weight > 0).sum()))
        return _weighted_choice(weight, count, self._rng)

    def _arrivals(self, real: int, events: float) -> Ints:
        """Let new listeners and new tracks come in proportion to the events; return the tracks."""
        people = int(self._rng.poisson(events / _EVENTS_A_NEWCOMER))
        tracks = int(self._rng.poisson(events / _EVENTS_A_RELEASE))
        if people:
            self._world.add_people(people, real)
        return self._world.add_tracks(tracks, real) if tracks else _NO_INDICES


def _weighted_choice(weight: Doubles, count: int, rng: np.random.Generator) -> Ints:
    """Draw ``count`` distinct indices with chances by weight: the earliest of exponential races
    (Efraimidis and Spirakis, 2006).
    """
    with np.errstate(divide="ignore"):
        arrival = rng.exponential(1.0, len(weight)) / weight
    if count >= len(weight):
        return np.flatnonzero(np.isfinite(arrival)).astype(np.int64)
    earliest = np.sort(np.argpartition(arrival, count)[:count])
    return earliest[np.isfinite(arrival[earliest])].astype(np.int64)
