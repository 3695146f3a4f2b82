"""The domain's own data as interactions: the pairs of the feature tables, split by time.

The definitions are those of training (see :mod:`recommender.dataset` and
:mod:`recommender.split`): what is known, what is positive, what a pair weighs before the split.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from psycopg2 import sql

from encore.errors import EncoreError, UsageError
from encore.settings import Settings
from recommender.arrow_copy import copy_out
from recommender.dataset import Summary, open_snapshot, summarize
from recommender.interactions import DAY_S, Numbers, Split, cells, genre_matrix, split_of
from recommender.pairs import DISLIKED

_PAIRS = pa.schema(
    [
        ("user", pa.string()),
        ("item", pa.string()),
        ("signal", pa.float64()),
        ("disliked", pa.bool_()),
        ("first_s", pa.float64()),
        ("last_s", pa.float64()),
    ]
)
_GENRES = pa.schema([("item", pa.string()), ("genre", pa.string())])
_COUNTRIES = pa.schema([("user", pa.string()), ("country", pa.string())])
_READ_PAIRS = sql.SQL(
    "SELECT a.user_id, a.item_id, a.signal, {}, extract(epoch FROM a.first_at)::float8, "
    "extract(epoch FROM a.last_at)::float8 FROM user_item_affinity AS a "
    'ORDER BY a.user_id COLLATE "C", a.item_id COLLATE "C"'
).format(DISLIKED)


@dataclass(frozen=True)
class Domain:
    """The pairs of listeners and items, their genres and countries, and when they are divided."""

    pairs: pa.Table
    genres: pa.Table
    countries: pa.Table
    summary: Summary
    test_share: float

    def as_of(self, moment: float) -> "Domain":
        """Return what was there at a moment, its newest share tested on.

        Of a pair that went on after it only the beginning is certain: no more than one complete
        play at its first event. Whether it was disliked then is not known; it is as it is now.

        Raises:
            UsageError: nothing positive had begun.
        """
        pairs = self.pairs.filter(pc.less_equal(self.pairs.column("first_s"), moment))
        went_on = pc.greater(pairs.column("last_s"), moment)
        begun = {
            "signal": pc.min_element_wise(pairs.column("signal"), 1.0),
            "last_s": pairs.column("first_s"),
        }
        for name, value in begun.items():
            kept = pc.if_else(went_on, value, pairs.column(name))
            pairs = pairs.set_column(pairs.schema.get_field_index(name), name, kept)
        first = _numbers(pairs, "first_s")[_positive(pairs)]
        if not len(first):
            raise UsageError(
                f"nothing positive had begun until {datetime.fromtimestamp(moment, UTC)}"
            )
        summary = replace(
            self.summary,
            positive=len(first),
            now_s=min(self.summary.now_s, moment),
            split_s=float(np.quantile(first, 1 - self.test_share, method="inverted_cdf")),
        )
        return replace(self, pairs=pairs, summary=summary)

    def before(self) -> "Domain":
        """Return what is learned from, to be divided in its turn."""
        return self.as_of(self.summary.split_s)

    def split(self, half_life_days: float | None = None) -> Split:
        """Divide; with another half-life than that of the features from the last event on."""
        summary = self.summary
        if half_life_days is not None:
            summary = replace(summary, half_life_s=half_life_days * DAY_S)
        split = divide(self.pairs, self.genres, summary)
        at = pc.index_in(split.train.users, value_set=self.countries.column("user"))
        countries = self.countries.column("country").combine_chunks().take(at)
        return replace(split, train=replace(split.train, countries=countries))


def read_domain(url: str, settings: Settings) -> Domain:
    """Read what listeners gave items, in one snapshot.

    Raises:
        EncoreError: there is nothing positive.
    """
    with open_snapshot(url) as snapshot:
        summary = summarize(
            snapshot.cursor, settings.train_test_share, settings.feature_affinity_half_life_days
        )
        pairs, genres, countries = (
            pa.Table.from_batches(list(copy_out(snapshot.cursor, query, schema)), schema)
            for query, schema in (
                (_READ_PAIRS, _PAIRS),
                (sql.SQL("SELECT item_id, genre FROM item_genres"), _GENRES),
                (sql.SQL("SELECT user_id, country FROM users"), _COUNTRIES),
            )
        )
    if not summary.positive:
        raise EncoreError("user_item_affinity holds nothing positive yet: produce and stream first")
    return Domain(pairs, genres, countries, summary, settings.train_test_share)


def divide(pairs: pa.Table, genres: pa.Table, summary: Summary) -> Split:
    """Divide pairs at the summary's moment; see :mod:`recommender.split` for what they weigh."""
    first, last, signal = (_numbers(pairs, name) for name in ("first_s", "last_s", "signal"))
    positive = _positive(pairs)
    before = first <= summary.split_s
    full = signal * _decay(summary, last)
    one_play = _decay(summary, first)
    weight = np.where(last > summary.split_s, np.minimum(signal, one_play), full)
    users = pc.unique(pairs.column("user").combine_chunks()).sort()
    items = pc.unique(pairs.column("item").combine_chunks()).sort()
    return split_of(
        users,
        items,
        cells(pairs, users, items),
        known=before,
        weights=np.where(before & positive, weight, 0.0),
        times=last,
        relevant=~before & positive,
        genres=genre_matrix(genres, items),
    )


def _positive(pairs: pa.Table) -> NDArray[np.bool_]:
    disliked = pairs.column("disliked").to_numpy()
    return np.asarray((_numbers(pairs, "signal") > 0) & ~disliked)


def _decay(summary: Summary, since_s: Numbers) -> Numbers:
    age = np.maximum(summary.split_s - since_s, 0.0)
    return np.asarray(2.0 ** (-age / summary.half_life_s))


def _numbers(table: pa.Table, name: str) -> Numbers:
    return np.asarray(table.column(name).to_numpy(), np.float64)
