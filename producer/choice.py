"""Which track comes next and how much of it is heard.

A listener's next track is an old favourite, something from a scene they like, something everyone
plays, or something a radio put on. How long they stay depends on how well it matches.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from producer.arrays import Bools, Doubles, Floats, Ints, sigmoid
from producer.catalogue import Catalogue
from producer.taste import SCENES, Taste, match

FAVOURITES_KEPT: Final = 24
_SOURCE_SHARES: Final = (0.30, 0.42, 0.13, 0.15)  # favourite, taste, popular, radio
_CANDIDATES: Final = 3
_FAVOURITE_BONUS: Final = 0.5
_STEEPNESS: Final = 1.9
_HALF_SKIPPED_AT: Final = 1.78
_PARTIAL_SHARE: Final = 0.14
SKIP_SHARE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Plays:
    """Tracks chosen and heard, one for each position. ``ms_played`` is at most the duration."""

    track: Ints
    match: Doubles
    ms_played: Ints
    complete: Bools
    skipped: Bools


class TrackSampler:
    """Draws tracks that have been released, by popularity, of one scene or of all."""

    def __init__(self, catalogue: Catalogue, now_ms: int) -> None:
        self._order = np.argsort(catalogue.scenes, kind="stable")
        released = catalogue.released <= now_ms
        weights = np.where(released, catalogue.weights, 0.0)[self._order]
        self._cumulative = np.concatenate([[0.0], np.cumsum(weights)])
        bounds = np.searchsorted(catalogue.scenes[self._order], np.arange(SCENES + 1))
        self._low = self._cumulative[bounds[:-1]]
        self._high = self._cumulative[bounds[1:]]
        self._filled = np.flatnonzero(self._high > self._low)

    def by_popularity(self, uniform: Doubles) -> Ints:
        """Return a track of the whole catalogue for each uniform number."""
        return self._at(uniform * self._cumulative[-1])

    def of_scene(self, scenes: Ints, uniform: Doubles) -> Ints:
        """Return a track of each scene; an empty scene gives one of the whole catalogue."""
        low, high = self._low[scenes], self._high[scenes]
        empty = high <= low
        low = np.where(empty, 0.0, low)
        high = np.where(empty, self._cumulative[-1], high)
        return self._at(low + uniform * (high - low))

    def radio(self, uniform: Doubles, scene_uniform: Doubles) -> Ints:
        """Return a track of a scene drawn without regard to popularity."""
        index = (scene_uniform * len(self._filled)).astype(np.int64)
        return self.of_scene(self._filled[index], uniform)

    def _at(self, points: Doubles) -> Ints:
        index = np.searchsorted(self._cumulative, points, side="right") - 1
        return np.asarray(self._order[np.minimum(index, len(self._order) - 1)], dtype=np.int64)


def first_favourites(
    taste: Taste, catalogue: Catalogue, sampler: TrackSampler, rng: np.random.Generator
) -> Ints:
    """Draw the tracks that listeners liked before the stream begins."""
    users = np.repeat(np.arange(len(taste.vectors)), FAVOURITES_KEPT)
    tracks = _by_taste(users, taste, catalogue.vectors, sampler, rng)
    return tracks.reshape(-1, FAVOURITES_KEPT)


def choose_tracks(
    users: Ints,
    taste: Taste,
    favourites: Ints,
    catalogue: Catalogue,
    sampler: TrackSampler,
    rng: np.random.Generator,
) -> tuple[Ints, Doubles]:
    """Return a track for each position and how well it matches the listener there."""
    bounds = np.cumsum(_SOURCE_SHARES)[:-1]
    source = np.searchsorted(bounds, rng.random(len(users)), side="right")
    track = np.empty(len(users), dtype=np.int64)
    known, tasted, popular, radio = (np.flatnonzero(source == kind) for kind in range(4))
    slot = (FAVOURITES_KEPT * rng.random(len(known)) ** 1.6).astype(np.int64)
    track[known] = favourites[users[known], slot]
    track[tasted] = _by_taste(users[tasted], taste, catalogue.vectors, sampler, rng)
    track[popular] = sampler.by_popularity(rng.random(len(popular)))
    track[radio] = sampler.radio(rng.random(len(radio)), rng.random(len(radio)))
    fit = match(taste.vectors[users], catalogue.vectors[track])
    fit[known] += _FAVOURITE_BONUS
    return track, fit


def _by_taste(
    users: Ints, taste: Taste, vectors: Floats, sampler: TrackSampler, rng: np.random.Generator
) -> Ints:
    """Draw a favourite scene, then the best match of a few of its tracks."""
    count = len(users)
    slot = (rng.random((count, 1)) > taste.shares[users]).sum(axis=1)
    scenes = np.repeat(taste.scenes[users, slot], _CANDIDATES)
    candidates = sampler.of_scene(scenes, rng.random(count * _CANDIDATES))
    candidates = candidates.reshape(count, _CANDIDATES)
    fit = match(taste.vectors[users][:, None, :], vectors[candidates])
    best = fit.argmax(axis=1)
    return np.asarray(candidates[np.arange(count), best], dtype=np.int64)


def hear(track: Ints, fit: Doubles, durations: Ints, rng: np.random.Generator) -> Plays:
    """Decide how much of each track is heard: a match to its end, a mismatch a few seconds."""
    count = len(track)
    skipped = rng.random(count) > sigmoid(_STEEPNESS * (fit - _HALF_SKIPPED_AT))
    partial = ~skipped & (rng.random(count) < _PARTIAL_SHARE)
    share = np.ones(count)
    share[skipped] = SKIP_SHARE * rng.beta(1.0, 2.0, count)[skipped]
    share[partial] = rng.uniform(SKIP_SHARE, 0.95, count)[partial]
    length = durations[track]
    played = np.where(share >= 1, length, np.maximum(1_000, length * share))
    return Plays(track, fit, played.astype(np.int64), share >= 1, skipped)
