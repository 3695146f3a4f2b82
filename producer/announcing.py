"""Entities on their way: everybody at the beginning, newcomers before they act, changes after."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from producer.arrays import Bools, Ints, first_positions
from producer.behaviour import SUBSCRIPTION, Behaviour
from producer.encoding import Encoder, item_id
from producer.records import Extra, Kind, RecordBlock
from producer.world import World

_ENTITIES_A_BLOCK: Final = 5_000


class Announcer:
    """Makes the entity records of a world and knows which listeners have been announced.

    ``first`` is always the number of the chapter's first good event in the stream.
    """

    def __init__(self, world: World, encoder: Encoder) -> None:
        self._world = world
        self._encoder = encoder
        self._announced: Bools = np.zeros(world.size, dtype=np.bool_)

    def everybody(self, begin_ms: int) -> Iterator[RecordBlock]:
        """Yield everything and everybody that is there when the stream begins."""
        world, encoder = self._world, self._encoder
        encoder.catch_up()
        tracks = np.flatnonzero(world.catalogue.released <= begin_ms).tolist()
        for some in _portions(tracks):
            keys = [item_id(track).encode() for track in some]
            values = [encoder.item(track, begin_ms) for track in some]
            yield _block(Kind.ITEM, keys, values, begin_ms)
        users = np.flatnonzero(world.registered(begin_ms)).tolist()
        self._announced[users] = True
        levels = world.people.levels
        for some in _portions(users):
            keys = [encoder.keys[user] for user in some]
            values = [encoder.user(user, int(levels[user]), begin_ms) for user in some]
            yield _block(Kind.USER, keys, values, begin_ms)

    def released(self, tracks: Ints, first: int) -> list[Extra]:
        """Announce new tracks before anything else of the chapter."""
        released = self._world.catalogue.released
        return [
            Extra(
                first - 0.4,
                Kind.ITEM,
                item_id(track).encode(),
                self._encoder.item(track, int(released[track])),
            )
            for track in tracks.tolist()
        ]

    def newcomers(self, behaviour: Behaviour, first: int) -> list[Extra]:
        """Announce each listener before their first event."""
        grown = self._world.size - len(self._announced)
        self._announced = np.concatenate([self._announced, np.zeros(grown, dtype=np.bool_)])
        users, positions = first_positions(behaviour.user)
        new = ~self._announced[users]
        self._announced[users] = True
        registered = self._world.people.registered
        return [
            self._user(
                first + position - 0.3, user, int(behaviour.level[position]), int(registered[user])
            )
            for user, position in zip(users[new].tolist(), positions[new].tolist(), strict=True)
        ]

    def level_changes(self, behaviour: Behaviour, happened: Ints, first: int) -> list[Extra]:
        """Send listeners again right after they changed their subscription."""
        return [
            self._user(
                first + index + 0.1,
                int(behaviour.user[index]),
                int(behaviour.level[index]),
                int(happened[index]),
            )
            for index in np.flatnonzero(behaviour.code == SUBSCRIPTION).tolist()
        ]

    def _user(self, place: float, user: int, level: int, updated_ms: int) -> Extra:
        value = self._encoder.user(user, level, updated_ms)
        return Extra(place, Kind.USER, self._encoder.keys[user], value)


def _portions(indices: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(indices), _ENTITIES_A_BLOCK):
        yield indices[start : start + _ENTITIES_A_BLOCK]


def _block(kind: Kind, keys: list[bytes], values: list[bytes], due_ms: int) -> RecordBlock:
    kinds = np.full(len(keys), kind, dtype=np.uint8)
    due = np.full(len(keys), due_ms, dtype=np.int64)
    return RecordBlock(kinds, keys, values, due, live=False)
