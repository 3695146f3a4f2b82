"""What a person does for a listener by hand: one event, as a player of theirs would send it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from encore.happening import happening
from serving.problems import not_found
from serving.reader import Reader

Act = Literal["play", "skip", "like", "unlike", "dislike", "playlist_add"]

_SKIPPED_AFTER: Final = 0.02  # of a track
_USUAL_MS: Final = 200_000  # where nobody announced how long an item is
_AROUND: Final = """
SELECT i.duration_ms, u.country, u.city, u.device, u.level, l.made_at AS list_made_at
  FROM items AS i
  LEFT JOIN users AS u ON u.user_id = $1
  LEFT JOIN live_recommendations AS l ON l.user_id = $1
 WHERE i.item_id = $2
"""


@dataclass(frozen=True, slots=True)
class Acting:
    """The event to send, and when the listener's list was made before it, if a worker made it."""

    event: dict[str, Any]
    list_before: datetime | None


async def acting(reader: Reader, user_id: str, item_id: str, act: Act) -> Acting:
    """Return the event of an act that happens now, at the listener's place and device.

    Raises:
        ProblemError: nobody knows of the item (404), or PostgreSQL is away (503).
    """
    around = await reader.row(_AROUND, user_id, item_id)
    if around is None:
        raise not_found("item", item_id)
    event = happening("listen" if act in ("play", "skip") else act, user_id, item_id)
    if act in ("play", "skip"):
        length = around["duration_ms"] or _USUAL_MS
        played = length if act == "play" else round(_SKIPPED_AFTER * length)
        event |= {"duration_ms": length, "ms_played": played}
    place = {name: around[name] for name in ("country", "city", "device", "level")}
    event |= {name: value for name, value in place.items() if value is not None}
    return Acting(event, around["list_made_at"])
