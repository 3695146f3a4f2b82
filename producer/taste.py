"""What people like: a latent space that tracks and listeners share, and its slow drift.

Genres have centres in a space of ``DIMENSIONS`` standard normal coordinates; each splits into
scenes, a scene into artists, an artist into tracks, each a noisy copy of its parent. A listener
is a point of the same space and listens mostly within the few scenes nearest to it. Listeners
who share one scene therefore share others too, which is what a recommender can learn.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from producer.arrays import Doubles, Floats, Ints, unit_mix
from producer.places import CITIES, COUNTRIES
from producer.randomness import named_rng
from producer.words import GENRES

DIMENSIONS: Final = 12
SCENES_PER_GENRE: Final = 6
SCENES: Final = len(GENRES) * SCENES_PER_GENRE
FAVOURITE_SCENES: Final = 6
WEEKLY_DRIFT: Final = 0.15
_GENRE_IN_SCENE: Final = 0.75
_COUNTRY_IN_TASTE: Final = 0.35
_SHARPNESS: Final = 1.6
_CHUNK: Final = 50_000


@dataclass(slots=True)
class Taste:
    """The taste of a set of listeners.

    ``vectors`` (listeners, DIMENSIONS); ``scenes`` (listeners, FAVOURITE_SCENES) with the best
    first; ``shares`` the cumulative share of listening in each of these, the last being 1.
    """

    vectors: Floats
    scenes: Ints
    shares: Floats

    def joined(self, other: "Taste") -> "Taste":
        """Return the taste of these listeners followed by others."""
        return Taste(
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.scenes, other.scenes]),
            np.concatenate([self.shares, other.shares]),
        )


def scene_vectors(seed: int) -> Floats:
    """Return the centre of each scene, shape (SCENES, DIMENSIONS)."""
    rng = named_rng(seed, "scenes")
    genres = rng.standard_normal((len(GENRES), DIMENSIONS), dtype=np.float32)
    own = rng.standard_normal((SCENES, DIMENSIONS), dtype=np.float32)
    return unit_mix(np.repeat(genres, SCENES_PER_GENRE, axis=0), own, _GENRE_IN_SCENE)


def make_taste(rng: np.random.Generator, seed: int, cities: Ints, scenes: Floats) -> Taste:
    """Draw the taste of listeners who live in ``cities``: partly their country's."""
    national = named_rng(seed, "national").standard_normal((len(COUNTRIES), DIMENSIONS))
    codes = [country.code for country in COUNTRIES]
    country_of = np.array([codes.index(city.country) for city in CITIES])
    own = rng.standard_normal((len(cities), DIMENSIONS), dtype=np.float32)
    home = national.astype(np.float32)[country_of[cities]]
    return taste_of(unit_mix(home, own, _COUNTRY_IN_TASTE), scenes)


def taste_of(vectors: Floats, scenes: Floats) -> Taste:
    """Derive the favourite scenes of listeners from their vectors."""
    chosen = np.empty((len(vectors), FAVOURITE_SCENES), dtype=np.int64)
    shares = np.empty((len(vectors), FAVOURITE_SCENES), dtype=np.float32)
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        chosen[part], shares[part] = _favourites(vectors[part], scenes)
    return Taste(vectors, chosen, shares)


def _favourites(vectors: Floats, scenes: Floats) -> tuple[Ints, Floats]:
    fit = vectors @ scenes.T / np.float32(np.sqrt(DIMENSIONS))
    best = np.argsort(-fit, axis=1, kind="stable")[:, :FAVOURITE_SCENES]
    strength = np.exp(_SHARPNESS * np.take_along_axis(fit, best, axis=1))
    shares = np.cumsum(strength, axis=1)
    shares /= shares[:, -1:]
    shares[:, -1] = 1
    return best.astype(np.int64), shares


def drift(taste: Taste, scenes: Floats, rng: np.random.Generator) -> Taste:
    """Return the taste a week later: every vector moves a little."""
    step = rng.standard_normal(taste.vectors.shape, dtype=np.float32)
    return taste_of(unit_mix(taste.vectors, step, float(np.sqrt(1 - WEEKLY_DRIFT**2))), scenes)


def match(listeners: Floats, tracks: Floats) -> Doubles:
    """Return how well each track fits its listener: about standard normal for a random pair."""
    dots = np.einsum("...k,...k->...", listeners, tracks)
    return np.asarray(dots / np.sqrt(DIMENSIONS), dtype=np.float64)
