"""The catalogue: artists, albums and tracks, with long-tail popularity and a place in taste."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from producer.arrays import Doubles, Floats, Ints, unit_mix
from producer.randomness import named_rng
from producer.taste import DIMENSIONS, SCENES, SCENES_PER_GENRE
from producer.words import ADJECTIVES, GENRES, NOUNS, PHRASES

DAY_MS: Final = 86_400_000
_TRACKS_PER_ARTIST: Final = 20
_TRACKS_PER_ALBUM: Final = 10
_SCENE_IN_ARTIST: Final = 0.88
_ARTIST_IN_TRACK: Final = 0.93
_MEDIAN_DURATION_MS: Final = 205_000
_SECOND_GENRE_SHARE: Final = 0.25


@dataclass(slots=True)
class Artists:
    """Artists: ``vectors`` (artists, DIMENSIONS), ``weights`` popularity, ``scenes`` their home."""

    names: list[str]
    scenes: Ints
    second_genres: Ints
    vectors: Floats
    weights: Doubles


@dataclass(slots=True)
class Catalogue:
    """Tracks by index: ``durations`` in ms, ``released`` in epoch ms, ``weights`` popularity."""

    artists: Artists
    titles: list[str]
    artist: Ints
    album: Ints
    album_titles: list[str]
    vectors: Floats
    durations: Ints
    weights: Doubles
    released: Ints
    scenes: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.scenes = self.artists.scenes[self.artist]

    def __len__(self) -> int:
        return len(self.titles)

    def genres_of(self, track: int) -> list[str]:
        """Return the genres of a track, the most fitting first (-1 as second: none)."""
        artist = self.artist[track]
        first = GENRES[self.artists.scenes[artist] // SCENES_PER_GENRE]
        second = self.artists.second_genres[artist]
        return [first] if second < 0 or GENRES[second] == first else [first, GENRES[second]]


def make_catalogue(
    seed: int, tracks: int, scenes: Floats, released_by: int, history_ms: int
) -> Catalogue:
    """Make ``tracks`` tracks, the newest of which come out within the history.

    About 0.1 % of the catalogue is new each day of ``history_ms``, which ends at
    ``released_by`` (epoch ms).
    """
    rng = named_rng(seed, "catalogue")
    artists = _make_artists(rng, max(8, tracks // _TRACKS_PER_ARTIST), scenes)
    artist = _artists_of(rng, artists, tracks)
    album, album_titles = _albums(rng, artist)
    fresh = min(tracks // 4, round(tracks * 0.001 * history_ms / DAY_MS))
    old = released_by - history_ms - (rng.exponential(6 * 365, tracks) % 9_000 + 1) * DAY_MS
    new = np.sort(released_by - rng.uniform(0, max(history_ms, 1), fresh))
    released = np.concatenate([old[: tracks - fresh], new]).astype(np.int64)
    return _assemble(rng, artists, artist, album, album_titles, released)


def extend_catalogue(seed: int, catalogue: Catalogue, count: int, released_ms: int) -> Catalogue:
    """Return the catalogue with ``count`` new singles of artists it has."""
    rng = named_rng(seed, "singles", len(catalogue))
    artist = _artists_of(rng, catalogue.artists, count)
    titles = _titles(rng, count)
    album = len(catalogue.album_titles) + np.arange(count)
    released = np.full(count, released_ms, dtype=np.int64)
    new = _assemble(rng, catalogue.artists, artist, album, titles, released)
    return Catalogue(
        catalogue.artists,
        catalogue.titles + new.titles,
        np.concatenate([catalogue.artist, new.artist]),
        np.concatenate([catalogue.album, new.album]),
        catalogue.album_titles + new.album_titles,
        np.concatenate([catalogue.vectors, new.vectors]),
        np.concatenate([catalogue.durations, new.durations]),
        np.concatenate([catalogue.weights, new.weights]),
        np.concatenate([catalogue.released, new.released]),
    )


def _assemble(
    rng: np.random.Generator,
    artists: Artists,
    artist: Ints,
    album: Ints,
    album_titles: list[str],
    released: Ints,
) -> Catalogue:
    count = len(artist)
    noise = rng.standard_normal((count, DIMENSIONS), dtype=np.float32)
    durations = _MEDIAN_DURATION_MS * np.exp(rng.normal(0, 0.28, count))
    return Catalogue(
        artists=artists,
        titles=_titles(rng, count),
        artist=artist,
        album=album,
        album_titles=album_titles,
        vectors=unit_mix(artists.vectors[artist], noise, _ARTIST_IN_TRACK),
        durations=np.clip(durations, 45_000, 900_000).astype(np.int64),
        weights=artists.weights[artist] * np.exp(rng.normal(0, 1.1, count)),
        released=released,
    )


def _make_artists(rng: np.random.Generator, count: int, scenes: Floats) -> Artists:
    home = rng.integers(0, SCENES, count)
    noise = rng.standard_normal((count, DIMENSIONS), dtype=np.float32)
    ranks = rng.permutation(count) + 1.0
    second = rng.integers(0, len(GENRES), count)
    second[rng.random(count) > _SECOND_GENRE_SHARE] = -1
    return Artists(
        names=_band_names(rng, count),
        scenes=home,
        second_genres=second,
        vectors=unit_mix(scenes[home], noise, _SCENE_IN_ARTIST),
        weights=np.asarray(ranks**-0.8, dtype=np.float64),
    )


def _artists_of(rng: np.random.Generator, artists: Artists, count: int) -> Ints:
    """Give each track an artist; the well-known have made more."""
    shares = np.sqrt(artists.weights)
    return rng.choice(len(shares), count, p=shares / shares.sum()).astype(np.int64)


def _albums(rng: np.random.Generator, artist: Ints) -> tuple[Ints, list[str]]:
    """Put each artist's tracks on albums of about ten, in the order of the catalogue."""
    order = np.argsort(artist, kind="stable")
    sorted_artist = artist[order]
    starts = np.searchsorted(sorted_artist, sorted_artist)
    nth_album = (np.arange(len(artist)) - starts) // _TRACKS_PER_ALBUM
    _, album_sorted = np.unique(sorted_artist * 1_000_000 + nth_album, return_inverse=True)
    album = np.empty(len(artist), dtype=np.int64)
    album[order] = album_sorted
    return album, _titles(rng, int(album_sorted.max(initial=-1)) + 1)


def _titles(rng: np.random.Generator, count: int) -> list[str]:
    pattern = rng.integers(0, 3, count).tolist()
    words = zip(
        (PHRASES[i] for i in rng.integers(0, len(PHRASES), count).tolist()),
        (ADJECTIVES[i] for i in rng.integers(0, len(ADJECTIVES), count).tolist()),
        (NOUNS[i] for i in rng.integers(0, len(NOUNS), count).tolist()),
        strict=True,
    )
    return [
        (f"{adjective} {noun}", f"{phrase} {noun}", f"{phrase} {adjective} {noun}")[kind]
        for kind, (phrase, adjective, noun) in zip(pattern, words, strict=True)
    ]


def _band_names(rng: np.random.Generator, count: int) -> list[str]:
    """Make names that are all different, with one more adjective where they meet."""
    names: dict[str, None] = {}
    for index in range(count):
        adjective, noun = (table[int(rng.integers(0, len(table)))] for table in (ADJECTIVES, NOUNS))
        name = (f"The {noun}", f"{adjective} {noun}", f"The {adjective} {noun}")[index % 3]
        while name in names:
            name = (
                f"{ADJECTIVES[int(rng.integers(0, len(ADJECTIVES)))]} {name.removeprefix('The ')}"
            )
        names[name] = None
    return list(names)
