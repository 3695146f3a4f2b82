"""What listeners did: events as columns, in the order of time."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from encore.events import EVENT_TYPE_NAMES
from producer.arrays import Bools, Codes, Doubles, Ints

LISTEN: Final = EVENT_TYPE_NAMES.index("listen")
LIKE: Final = EVENT_TYPE_NAMES.index("like")
UNLIKE: Final = EVENT_TYPE_NAMES.index("unlike")
DISLIKE: Final = EVENT_TYPE_NAMES.index("dislike")
PLAYLIST_ADD: Final = EVENT_TYPE_NAMES.index("playlist_add")
PAGE_VIEW: Final = EVENT_TYPE_NAMES.index("page_view")
SEARCH: Final = EVENT_TYPE_NAMES.index("search")
ADVERT: Final = EVENT_TYPE_NAMES.index("advert")
LOGIN: Final = EVENT_TYPE_NAMES.index("login")
LOGOUT: Final = EVENT_TYPE_NAMES.index("logout")
SUBSCRIPTION: Final = EVENT_TYPE_NAMES.index("subscription_change")
IMPRESSION: Final = EVENT_TYPE_NAMES.index("impression")

PAGES: Final = ("Home", "Artist", "Album", "Playlist", "Settings", "Profile", "Help", "About")
HOME_PAGE: Final = 0


@dataclass(slots=True)
class Behaviour:
    """Events as columns of one length.

    ``time`` ms; ``user``, ``track`` indices (track -1: none); ``visit`` number of the session;
    ``code`` index into ``EVENT_TYPE_NAMES``; ``page`` index into ``PAGES``; ``level`` index into
    ``LEVELS``, for a subscription change the new one; ``note`` what an impression says of its
    place in a list (see ``producer.lists.Notes``), -1 for other events.
    """

    time: Doubles
    user: Ints
    visit: Ints
    code: Codes
    track: Ints
    ms_played: Ints
    page: Codes
    level: Codes
    note: Ints

    def __len__(self) -> int:
        return len(self.time)

    def take(self, chosen: Ints | Bools) -> "Behaviour":
        """Return the chosen events, in the order chosen."""
        return Behaviour(*(getattr(self, one.name)[chosen] for one in fields(self)))

    def joined(self, other: "Behaviour") -> "Behaviour":
        """Return these events followed by others."""
        return Behaviour(
            *(
                np.concatenate([getattr(self, one.name), getattr(other, one.name)])
                for one in fields(self)
            )
        )

    def in_order(self) -> "Behaviour":
        """Return the events sorted by time; what happened at one time keeps its order."""
        return self.take(np.argsort(self.time, kind="stable"))


def no_behaviour() -> Behaviour:
    """Return no events."""
    whole, small = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8)
    return Behaviour(np.empty(0), whole, whole, small, whole, whole, small, small, whole)
