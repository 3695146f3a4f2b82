"""Looking at recommendations: what is shown when a session begins, and what is played from it.

A listener looks down the list with less and less attention, and weighs each track by their hidden
taste against not choosing any: a multinomial logit (McFadden 1974) with that as the outside option.
So the better a list fits, the more is played from it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from producer.arrays import Codes, Doubles, Ints
from producer.behaviour import HOME_PAGE, IMPRESSION, Behaviour
from producer.catalogue import Catalogue
from producer.lists import SHOWN, Lists
from producer.taste import Taste, match

_STEEPNESS: Final = 1.5
_ATTENTION: Final = -0.5 * np.log(np.arange(1, SHOWN + 1))
# Of ten tracks that fit as well as those that half of the listeners skip, every second list is
# played from.
_NOTHING_CHOSEN: Final = 4.3


@dataclass(frozen=True, slots=True)
class Look:
    """Lists to look at. ``share`` of the plays begin with a look at the list."""

    lists: Lists
    share: float
    rng: np.random.Generator

    def choose(
        self,
        listeners: Ints,
        taste: Taste,
        catalogue: Catalogue,
        track: Ints,
        fit: Doubles,
    ) -> None:
        """Replace, in place, tracks that are chosen from a list, and how well they match."""
        looks = np.flatnonzero(self.rng.random(len(listeners)) < self.share)
        users = listeners[looks]
        tracks, there = self._tracks(users, catalogue)
        fits = match(taste.vectors[users][:, None, :], catalogue.vectors[tracks])
        value = np.where(there, _STEEPNESS * fits + _ATTENTION, -np.inf)
        nothing = np.full((len(users), 1), _NOTHING_CHOSEN)
        value = np.concatenate([value, nothing], axis=1)
        chosen = (value + self.rng.gumbel(size=value.shape)).argmax(axis=1)
        some = np.flatnonzero(chosen < SHOWN)
        track[looks[some]] = tracks[some, chosen[some]]
        fit[looks[some]] = fits[some, chosen[some]]

    def impressions(
        self, users: Ints, starts: Doubles, visits: Ints, levels: Codes, catalogue: Catalogue
    ) -> Behaviour:
        """Return what users are shown when a session begins: an event for each track."""
        tracks, there = self._tracks(users, catalogue)
        session, place = np.nonzero(there)
        count = len(session)
        return Behaviour(
            time=starts[session],
            user=users[session],
            visit=visits[session],
            code=np.full(count, IMPRESSION, dtype=np.uint8),
            track=tracks[session, place],
            ms_played=np.zeros(count, dtype=np.int64),
            page=np.full(count, HOME_PAGE, dtype=np.uint8),
            level=levels[session],
            note=self.lists.notes[self.lists.rows(users)][session, place],
        )

    def _tracks(self, users: Ints, catalogue: Catalogue) -> tuple[Ints, np.ndarray]:
        """Return the tracks of each user's list, and where there is one of this catalogue."""
        tracks = self.lists.tracks[self.lists.rows(users)]
        there = (tracks >= 0) & (tracks < len(catalogue))
        return np.where(there, tracks, 0), there
