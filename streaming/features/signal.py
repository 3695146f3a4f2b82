"""What an event says of a listener and an item, as columns that every feature adds up.

The one definition of complete, partial, skip and signal: see docs/tables.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from encore.settings import Settings
from streaming.features.grouping import Coded, Floats, Integers, Mask

LISTENING = (
    "plays",
    "completes",
    "skips",
    "likes",
    "unlikes",
    "dislikes",
    "playlist_adds",
    "ms_played",
)
UNUSED = ("schema_version", "city", "lat", "lon")  # fields of the contract that no feature reads


@dataclass(frozen=True, slots=True)
class SignalRules:
    """Where a play counts as complete or skipped, and what the other acts weigh."""

    complete_ratio: float
    skip_ratio: float
    like: float
    playlist_add: float

    @classmethod
    def of(cls, settings: Settings) -> "SignalRules":
        """Take the rules from the settings."""
        return cls(
            complete_ratio=settings.feature_complete_ratio,
            skip_ratio=settings.feature_skip_ratio,
            like=settings.weight_like,
            playlist_add=settings.weight_playlist_add,
        )

    def as_settings(self) -> Mapping[str, float]:
        """Return the settings that stored features depend on, by name."""
        return {
            "feature_complete_ratio": self.complete_ratio,
            "feature_skip_ratio": self.skip_ratio,
            "weight_like": self.like,
            "weight_playlist_add": self.playlist_add,
        }


@dataclass(frozen=True)
class Events:
    """Accepted events as columns of one length.

    ``at_us`` is the event time in microseconds since 1970. ``counts`` has one column of integers
    for each name of :data:`LISTENING`. ``signal`` is in complete plays: the share of the track
    played (0 for a skip), and the weights of a like, an unlike (negative) and a playlist
    addition. ``country``, ``device`` and ``level`` are empty where not given.
    """

    kind: Coded
    user: Coded
    item: Coded
    session: Coded
    country: Coded
    device: Coded
    level: Coded
    at_us: Integers
    counts: Mapping[str, Integers]
    signal: Floats

    @property
    def played(self) -> Mask:
        """Return which events are plays."""
        return np.asarray(self.counts["plays"] == 1)

    @property
    def on_items(self) -> Mask:
        """Return which events say something of an item."""
        acts = ("listen", "like", "unlike", "dislike", "playlist_add")
        return np.asarray(self.kind.among(*acts) & self.item.known)

    def at(self, rows: Mask) -> "Events":
        """Keep some rows."""
        return Events(
            kind=self.kind.at(rows),
            user=self.user.at(rows),
            item=self.item.at(rows),
            session=self.session.at(rows),
            country=self.country.at(rows),
            device=self.device.at(rows),
            level=self.level.at(rows),
            at_us=self.at_us[rows],
            counts={name: column[rows] for name, column in self.counts.items()},
            signal=self.signal[rows],
        )


def events_of(accepted: pa.Table, rules: SignalRules) -> Events:
    """Return accepted events, given as the columns of the event contract."""
    kind = Coded.of(accepted.column("event_type"))
    country, device, level = (
        Coded.of(pc.fill_null(accepted.column(name), "")) for name in ("country", "device", "level")
    )
    played_ms, length_ms = _whole(accepted, "ms_played"), _whole(accepted, "duration_ms")
    play = kind.among("listen")
    share = np.minimum(1.0, played_ms / np.maximum(length_ms, 1))
    complete, skip = play & (share >= rules.complete_ratio), play & (share < rules.skip_ratio)
    acts = {name: kind.among(name) for name in ("like", "unlike", "dislike", "playlist_add")}
    signal = (
        np.where(play & ~skip, share, 0.0)
        + rules.like * acts["like"]
        - rules.like * acts["unlike"]
        + rules.playlist_add * acts["playlist_add"]
    )
    marks = (play, complete, skip, *acts.values())
    counts = dict(zip(LISTENING, (one.astype(np.int64) for one in marks), strict=False))
    return Events(
        kind=kind,
        user=Coded.of(accepted.column("user_id")),
        item=Coded.of(accepted.column("item_id")),
        session=Coded.of(accepted.column("session_id")),
        country=country,
        device=device,
        level=level,
        at_us=_whole(accepted, "event_ts") * 1000,
        counts={**counts, "ms_played": np.where(play, played_ms, 0)},
        signal=signal,
    )


def _whole(table: pa.Table, name: str) -> Integers:
    return np.asarray(pc.fill_null(table.column(name), 0).to_numpy(), np.int64)
