"""Listeners with tastes, written straight into the tables that a training reads."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from psycopg2 import sql

from database.engine import transaction
from producer.encoding import item_id, user_id
from recommender.arrow_copy import copy_in

_TABLES = ("recommendations", "similar_items", "user_item_affinity", "items", "item_genres",
           "artists", "albums", "genres", "model_runs", "published_run", "model_artifacts",
           "live_recommendations", "live_queue", "live_workers", "feature_settings")  # fmt: skip
_OWN_SHARE = 0.8  # of what listeners have is of their own taste
_REPEATS = 1.35  # drawn for one that is left when repeats are gone, about
_SPREAD = 0.8  # of the logarithm of how many items listeners have
_ITEMS_PER_ARTIST = 10
_DAY_US = 86_400_000_000
_UNTIL_US = 1_793_563_200_000_000  # 2026-11-01 20:00 UTC
_CHUNK = 500_000


@dataclass(frozen=True)
class Crowd:
    """So many listeners, items and, about, pairs of both, in groups of like taste.

    The same numbers give the same pairs.
    """

    users: int
    items: int
    pairs: int
    groups: int = 20
    seed: int = 17

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Yield rows of ``user_item_affinity``."""
        rng = np.random.default_rng(self.seed)
        user, item = self._cells(rng)
        first = _UNTIL_US - rng.integers(0, 60 * _DAY_US, len(user))
        last = first + ((_UNTIL_US - first) * rng.random(len(user)) ** 3).astype(np.int64)
        signal = np.round(0.2 + rng.gamma(1.5, 1.0, len(user)), 3)
        users, items = self._names()
        for start in range(0, len(user), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield pa.RecordBatch.from_pydict(
                {
                    "user_id": users.take(pa.array(user[part])),
                    "item_id": items.take(pa.array(item[part])),
                    "signal": pa.array(signal[part]),
                    "first_at": pa.array(first[part], pa.timestamp("us", "UTC")),
                    "last_at": pa.array(last[part], pa.timestamp("us", "UTC")),
                }
            )

    def catalogue(self) -> dict[str, pa.RecordBatch]:
        """Return rows of the tables that say what the items are."""
        number = np.arange(self.items)
        artist = _named("a", number // _ITEMS_PER_ARTIST)
        genre = _named("genre ", number % self.groups)
        _, items = self._names()
        return {
            "artists": _batch(artist_id=artist.unique(), name=artist.unique()),
            "genres": _batch(genre=genre.unique()),
            "items": _batch(item_id=items, title=_named("Track ", number), artist_id=artist),
            "item_genres": _batch(
                item_id=items, genre=genre, position=pa.repeat(pa.scalar(1, pa.int16()), self.items)
            ),
        }

    def _names(self) -> tuple[pa.Array, pa.Array]:
        return (
            pa.array(map(user_id, range(self.users)), pa.string()),
            pa.array(map(item_id, range(self.items)), pa.string()),
        )

    def _cells(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw pairs: most items of a listener are of the own group, popular ones more often."""
        mean = self.pairs * _REPEATS / self.users
        drawn = rng.lognormal(np.log(mean) - _SPREAD**2 / 2, _SPREAD, self.users)
        sizes = np.clip(drawn, 5, self.items / 4).astype(np.int64)
        user = np.repeat(np.arange(self.users), sizes)
        popular = rng.random(len(user)) ** 2
        group = (user * 7) % self.groups
        own = (popular * (self.items // self.groups)).astype(np.int64) * self.groups + group
        item = np.where(
            rng.random(len(user)) < _OWN_SHARE, own, (popular * self.items).astype(np.int64)
        )
        cell = np.unique(user * self.items + item)
        return cell // self.items, cell % self.items


def fill(url: str, crowd: Crowd) -> int:
    """Make a crowd all that the recommender knows of; return how many pairs it has."""
    pairs = 0
    with transaction(url) as cursor:
        tables = sql.SQL(", ").join(map(sql.Identifier, _TABLES))
        cursor.execute(sql.SQL("TRUNCATE {} CASCADE").format(tables))
        for name, batch in crowd.catalogue().items():
            copy_in(cursor, sql.Identifier(name), batch)
        for batch in crowd.rows():
            copy_in(cursor, sql.Identifier("user_item_affinity"), batch)
            pairs += batch.num_rows
    with transaction(url) as cursor:
        cursor.execute("ANALYZE user_item_affinity, items, item_genres")
    return pairs


def _named(prefix: str, numbers: np.ndarray) -> pa.Array:
    return pa.array([f"{prefix}{one}" for one in numbers.tolist()], pa.string())


def _batch(**columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)
