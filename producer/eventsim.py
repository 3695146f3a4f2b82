"""Someone else's log: a row of eventsim, the simulator of a music service, in our contract.

Every line gives exactly one event record. What lacks a user, a song or a time is sent without
it, and what is no JSON object as the bytes it is, so that the stream rejects and keeps them.
The log has no played time: a song was played until its session's next row, at most to its end.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

import orjson

from encore.events import SCHEMA_VERSION

Row = dict[str, Any]

_NAMESPACE: Final = UUID("6d0c1c0e-6f5d-5d6a-9f0b-3b8f6d1f2a47")
_TYPES: Final = {
    "NextSong": "listen",
    "Thumbs Up": "like",
    "Thumbs Down": "dislike",
    "Add to Playlist": "playlist_add",
    "Roll Advert": "advert",
    "Login": "login",
    "Logout": "logout",
    "Submit Upgrade": "subscription_change",
    "Submit Downgrade": "subscription_change",
}
_NEW_LEVEL: Final = {"Submit Upgrade": "paid", "Submit Downgrade": "free"}
_OF_SONG: Final = frozenset({"NextSong", "Thumbs Up", "Thumbs Down", "Add to Playlist"})
_US_LOCATION: Final = re.compile(r"(?P<city>.+), (?P<states>[A-Z]{2}(?:-[A-Z]{2})*)")
_DEVICES: Final = (("iPad", "tablet"), ("iPhone", "phone"), ("Android", "phone"),
                   ("Mobile", "phone"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Song:
    """A song of the log: what its item is made from. ``duration_ms`` is None if unknown."""

    artist: str
    title: str
    duration_ms: int | None

    @property
    def item_id(self) -> str:
        """Return an id that depends on artist and title alone."""
        return f"t-{_digest(self.artist, self.title)}"

    @property
    def artist_id(self) -> str:
        """Return an id that depends on the artist alone."""
        return f"ar-{_digest(self.artist)}"


def parse_row(line: bytes) -> Row | None:
    """Return the row of a line, or None if it is no JSON object."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def song_of(row: Row) -> Song | None:
    """Return the song that a row carries, if it does."""
    artist, title = _text(row.get("artist")), _text(row.get("song"))
    if not artist or not title:
        return None
    length = _number(row.get("length"))
    return Song(artist, title, round(length * 1000) if length and length > 0 else None)


def user_of(row: Row) -> str | None:
    """Return who did it, or None where the log does not say."""
    return _text(row.get("userId")) or None


def session_of(row: Row) -> tuple[str | None, str] | None:
    """Return what tells a session of the log from every other, or None without a session."""
    session = _text(row.get("sessionId"))
    return (user_of(row), session) if session else None


def time_of(row: Row) -> int | None:
    """Return when a row happened in epoch ms, or None if it has no number for it."""
    ts = _number(row.get("ts"))
    return None if ts is None else int(ts)


def event_of(row: Row, song: Song | None, ms_played: int | None) -> dict[str, Any]:
    """Return the event of a row; ``song`` is what the session is playing."""
    page = _text(row.get("page"))
    event_type = _TYPES.get(page or "", "page_view")
    event: dict[str, Any] = {
        "event_id": str(event_id(row)),
        "schema_version": SCHEMA_VERSION,
        "event_type": event_type,
        "event_ts": row.get("ts") if time_of(row) is None else time_of(row),
        "user_id": user_of(row),
        "session_id": _text(row.get("sessionId")),
        "level": _NEW_LEVEL.get(page or "", row.get("level")),
        "device": _device(_text(row.get("userAgent"))),
        **_place(_text(row.get("location"))),
    }
    if page in _OF_SONG and song is not None:
        event["item_id"] = song.item_id
    if event_type == "listen" and song is not None:
        event |= {"duration_ms": song.duration_ms, "ms_played": ms_played}
    if event_type == "page_view":
        event["page"] = page
    return {name: value for name, value in event.items() if value is not None}


def user_entity(row: Row) -> dict[str, Any] | None:
    """Return what a row tells about its user, without the time; None without a user."""
    user = user_of(row)
    if user is None:
        return None
    first, last = _text(row.get("firstName")), _text(row.get("lastName"))
    registered = _number(row.get("registration"))
    page = _text(row.get("page")) or ""
    entity = {
        "user_id": user,
        "schema_version": SCHEMA_VERSION,
        "name": " ".join(part for part in (first, last) if part) or None,
        "gender": _text(row.get("gender")),
        **_place(_text(row.get("location"))),
        "device": _device(_text(row.get("userAgent"))),
        "level": _NEW_LEVEL.get(page, row.get("level")),
        "registered_ts": None if registered is None else int(registered),
    }
    return {name: value for name, value in entity.items() if value is not None}


def item_entity(song: Song, seen_ms: int | None) -> dict[str, Any]:
    """Return the item made from a song."""
    entity = {
        "item_id": song.item_id,
        "schema_version": SCHEMA_VERSION,
        "title": song.title,
        "artist_id": song.artist_id,
        "artist_name": song.artist,
        "duration_ms": song.duration_ms,
        "updated_ts": seen_ms,
    }
    return {name: value for name, value in entity.items() if value is not None}


def event_id(row: Row) -> UUID:
    """Return an id that depends on the row alone, so that a second replay repeats it."""
    key = [row.get(name) for name in ("userId", "sessionId", "itemInSession", "ts", "page")]
    return uuid5(_NAMESPACE, orjson.dumps(key).decode())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _place(location: str | None) -> dict[str, str]:
    """Return city and country of a location such as ``Salinas, CA``."""
    if not location:
        return {}
    american = _US_LOCATION.fullmatch(location)
    if american is None:
        return {"city": location}
    return {"city": american["city"], "country": "US"}


def _device(agent: str | None) -> str | None:
    if not agent:
        return None
    return next((device for word, device in _DEVICES if word in agent), "desktop")


def _text(value: object) -> str | None:
    if value is None or isinstance(value, dict | list | bool):
        return None
    return str(value)


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
