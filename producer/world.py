"""The state of the simulated service: who there is, what they like, and what they did last."""

import numpy as np

from producer.arrays import Bools, Doubles, Ints
from producer.catalogue import Catalogue, extend_catalogue, make_catalogue
from producer.choice import TrackSampler, first_favourites
from producer.population import NamePools, Population, make_newcomers, make_population
from producer.randomness import named_rng
from producer.taste import Taste, drift, make_taste, scene_vectors


class World:
    """Listeners and tracks, with everything about them that changes while the stream runs.

    ``busy_until`` is the end of each listener's last session in ms, ``visits`` the number of
    their last session, ``liked`` the track they liked last (-1: none).
    """

    def __init__(
        self, seed: int, users: int, tracks: int, now_ms: int, history_ms: int, first_visit: int
    ) -> None:
        self.seed = seed
        self.scenes = scene_vectors(seed)
        self.catalogue: Catalogue = make_catalogue(seed, tracks, self.scenes, now_ms, history_ms)
        self._pools = NamePools(seed)
        self.people: Population = make_population(seed, self._pools, users, now_ms, history_ms)
        self.taste: Taste = self._taste_of(0, self.people)
        self.release_until(now_ms - history_ms)
        self._first_visit = first_visit
        self.favourites: Ints = self._favourites_of(0, self.taste)
        self.busy_until: Doubles = np.zeros(users)
        self.visits: Ints = np.full(users, first_visit, dtype=np.int64)
        self.liked: Ints = np.full(users, -1, dtype=np.int64)

    @property
    def size(self) -> int:
        """Return the number of listeners."""
        return len(self.people)

    def registered(self, now_ms: int) -> Bools:
        """Return which listeners have registered by now."""
        return np.asarray(self.people.registered <= now_ms)

    def never_seen(self, first: int) -> Ints:
        """Return the listeners from index ``first`` on who have had no session yet."""
        return first + np.flatnonzero(self.visits[first:] == self._first_visit)

    def number_visits_from(self, first: int) -> None:
        """Let the next visits have numbers from ``first`` on: those below may have been used."""
        never = self.visits == self._first_visit
        self.visits = np.where(never, first, np.maximum(self.visits, first + 1))
        self._first_visit = first

    def release_until(self, now_ms: int) -> None:
        """Let the tracks that have come out by now be played."""
        self.sampler = TrackSampler(self.catalogue, now_ms)

    def add_tracks(self, count: int, now_ms: int) -> Ints:
        """Release new singles and return their indices."""
        first = len(self.catalogue)
        self.catalogue = extend_catalogue(self.seed, self.catalogue, count, now_ms)
        self.release_until(now_ms)
        return np.arange(first, first + count)

    def add_people(self, count: int, now_ms: int) -> Ints:
        """Register new listeners and return their indices."""
        first = self.size
        new = make_newcomers(self.seed, self._pools, first, count, now_ms)
        taste = self._taste_of(first, new)
        self.people = self.people.joined(new)
        self.taste = self.taste.joined(taste)
        self.favourites = np.concatenate([self.favourites, self._favourites_of(first, taste)])
        self.busy_until = np.concatenate([self.busy_until, np.zeros(count)])
        self.visits = np.concatenate([self.visits, np.full(count, self._first_visit)])
        self.liked = np.concatenate([self.liked, np.full(count, -1)])
        return np.arange(first, first + count)

    def drift(self, week: int) -> None:
        """Move everybody's taste by what a week does to it."""
        self.taste = drift(self.taste, self.scenes, named_rng(self.seed, "drift", week))

    def _taste_of(self, first: int, people: Population) -> Taste:
        rng = named_rng(self.seed, "taste", first)
        return make_taste(rng, self.seed, people.cities, self.scenes)

    def _favourites_of(self, first: int, taste: Taste) -> Ints:
        rng = named_rng(self.seed, "favourites", first)
        return first_favourites(taste, self.catalogue, self.sampler, rng)
