"""Events and entities as the bytes that go to Kafka, written by hand because that is fast.

Whatever is the same for all events of a listener or a track is encoded once. Each event is then
one formatted string; a contract test decodes every kind and compares.
"""

from typing import Final

import numpy as np
import orjson

from encore.events import EVENT_TYPE_NAMES, LEVELS, SCHEMA_VERSION
from producer.arrays import Ints
from producer.behaviour import (
    IMPRESSION,
    LISTEN,
    PAGE_VIEW,
    PAGES,
    SEARCH,
    Behaviour,
)
from producer.lists import Notes
from producer.places import CITIES
from producer.population import DEVICES, GENDERS
from producer.world import World

_HEX: Final = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_UUID_DIGITS: Final = np.array(
    [place for place in range(36) if place not in (8, 13, 18, 23)], dtype=np.int64
)
_HEADS: Final = tuple(
    f'","schema_version":{SCHEMA_VERSION},"event_type":"{name}","event_ts":'
    for name in EVENT_TYPE_NAMES
)
_TAILS: Final = tuple(f',"level":"{level}"}}' for level in LEVELS)
_PAGE_PARTS: Final = tuple(f',"page":"{page}"' for page in PAGES)


def user_id(user: int) -> str:
    """Return the id of the listener with this index."""
    return f"u{user + 1}"


def item_id(track: int) -> str:
    """Return the id of the track with this index."""
    return f"t{track + 1}"


def event_ids(rng: np.random.Generator, count: int) -> list[str]:
    """Return random UUIDs (version 4, RFC 9562) as text."""
    raw = rng.integers(0, 256, (count, 16), dtype=np.uint8)
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    text = np.full((count, 36), ord("-"), dtype=np.uint8)
    text[:, _UUID_DIGITS[0::2]] = _HEX[raw >> 4]
    text[:, _UUID_DIGITS[1::2]] = _HEX[raw & 15]
    flat = text.tobytes().decode("ascii")
    return [flat[start : start + 36] for start in range(0, 36 * count, 36)]


class Encoder:
    """Encodes for one world; newcomers and new tracks are picked up as they appear."""

    def __init__(self, world: World, notes: Notes) -> None:
        self._world = world
        self._notes = notes
        self.keys: list[bytes] = []
        self._who: list[str] = []
        self._context: list[str] = []
        self._items: list[str] = []
        self._lengths: list[str] = []
        self._queries: list[str] = [
            f',"query":{orjson.dumps(name).decode()}' for name in world.catalogue.artists.names
        ]

    def events(
        self, behaviour: Behaviour, happened: Ints, produced: Ints, ids: list[str]
    ) -> list[bytes]:
        """Return one JSON object for each event; times in epoch ms."""
        who, context = self._who, self._context
        return [
            (
                f'{{"event_id":"{event_id}{_HEADS[code]}{when},"produced_ts":{handed}'
                f'{who[user]}{visit}"{extra}{context[user]}{_TAILS[level]}'
            ).encode()
            for event_id, code, when, handed, user, visit, extra, level in zip(
                ids,
                behaviour.code.tolist(),
                happened.tolist(),
                produced.tolist(),
                behaviour.user.tolist(),
                behaviour.visit.tolist(),
                self._extras(behaviour),
                behaviour.level.tolist(),
                strict=True,
            )
        ]

    def user(self, user: int, level: int, updated_ms: int) -> bytes:
        """Return the entity record of a listener."""
        people = self._world.people
        city = CITIES[people.cities[user]]
        return orjson.dumps(
            {
                "user_id": user_id(user),
                "schema_version": SCHEMA_VERSION,
                "name": people.names[user],
                "birth_year": int(people.birth_years[user]),
                "gender": GENDERS[people.genders[user]],
                "city": city.name,
                "country": city.country,
                "time_zone": city.time_zone,
                "device": DEVICES[people.devices[user]],
                "level": LEVELS[level],
                "registered_ts": int(people.registered[user]),
                "updated_ts": updated_ms,
            }
        )

    def item(self, track: int, updated_ms: int) -> bytes:
        """Return the entity record of a track."""
        catalogue = self._world.catalogue
        artist, album = int(catalogue.artist[track]), int(catalogue.album[track])
        return orjson.dumps(
            {
                "item_id": item_id(track),
                "schema_version": SCHEMA_VERSION,
                "title": catalogue.titles[track],
                "artist_id": f"ar{artist + 1}",
                "artist_name": catalogue.artists.names[artist],
                "album_id": f"al{album + 1}",
                "album_title": catalogue.album_titles[album],
                "genres": catalogue.genres_of(track),
                "duration_ms": int(catalogue.durations[track]),
                "released_ts": int(catalogue.released[track]),
                "updated_ts": updated_ms,
            }
        )

    def _extras(self, behaviour: Behaviour) -> list[str]:
        """Return what only some types of event carry."""
        code = behaviour.code
        extras = [""] * len(code)
        of_item = np.flatnonzero((behaviour.track >= 0) & (code != SEARCH) & (code != LISTEN))
        for index, track in zip(of_item.tolist(), behaviour.track[of_item].tolist(), strict=True):
            extras[index] = self._items[track]
        listens = np.flatnonzero(code == LISTEN)
        for index, track, played in zip(
            listens.tolist(),
            behaviour.track[listens].tolist(),
            behaviour.ms_played[listens].tolist(),
            strict=True,
        ):
            extras[index] = f"{self._lengths[track]}{played}"
        for index in np.flatnonzero(code == IMPRESSION).tolist():
            extras[index] += self._notes.texts[behaviour.note[index]]
        for index in np.flatnonzero(code == PAGE_VIEW).tolist():
            extras[index] = _PAGE_PARTS[behaviour.page[index]]
        for index in np.flatnonzero(code == SEARCH).tolist():
            extras[index] = self._queries[self._world.catalogue.artist[behaviour.track[index]]]
        return extras

    def catch_up(self) -> None:
        """Encode the parts of listeners and tracks that have come since the last call."""
        people, catalogue = self._world.people, self._world.catalogue
        for user in range(len(self.keys), len(people)):
            city = CITIES[people.cities[user]]
            name = orjson.dumps(city.name).decode()
            self.keys.append(user_id(user).encode())
            self._who.append(f',"user_id":"{user_id(user)}","session_id":"s{user + 1}-')
            self._context.append(
                f',"device":"{DEVICES[people.devices[user]]}","city":{name}'
                f',"country":"{city.country}","lat":{city.lat},"lon":{city.lon}'
            )
        for track in range(len(self._items), len(catalogue)):
            part = f',"item_id":"{item_id(track)}"'
            self._items.append(part)
            self._lengths.append(f'{part},"duration_ms":{catalogue.durations[track]},"ms_played":')
