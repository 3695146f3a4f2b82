"""Rejected records that are chosen one by one, by their places."""

from collections.abc import Sequence

from psycopg2 import extensions

from database.rejected import rows
from database.rejected.places import Place
from database.rejected.replay import Meant, Work, within_bytes
from encore.errors import EncoreError


class ByPlaces:
    """The rows of places. One without a topic id means whatever was rejected there."""

    def __init__(self, places: Sequence[Place]) -> None:
        """Take the places."""
        self._places = list(dict.fromkeys(places))

    def meant(self, cursor: extensions.cursor) -> Meant:
        """Look for the row of each place.

        Raises:
            EncoreError: nothing was rejected at one of them.
        """
        found = rows.known(cursor, self._places)
        there = {str(place) for place, _ in found}
        for place in self._places:
            if str(place) not in there:
                raise EncoreError(f"there is no rejected record at {place}. Nothing was sent.")
        waiting = [place for place, replayed in found if not replayed]
        self._places = waiting
        return Meant(
            len(waiting),
            len(found) - len(waiting),
            frozenset((place.topic, place.topic_id or "") for place in waiting),
        )

    def take(self, cursor: extensions.cursor) -> list[Work] | None:
        """Lock the next rows."""
        if not self._places:
            return None
        found = rows.lock_these(cursor, self._places)
        taken = within_bytes(found)
        left = {place for place, _ in found[len(taken) :]}
        self._places = [place for place in self._places if place in left]
        return [Work(place) for place in taken]
