"""What is said of items, remembered for a while: all lists name some of the same thousands."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg
import orjson

from serving.reader import Reader
from serving.rendering import ITEM_COLUMNS, ITEM_JOINS, item

_MOST_KEPT: Final = 50_000
_ITEMS: Final = f"""
SELECT o.item_id, {ITEM_COLUMNS}
  FROM unnest($1::text[]) AS o (item_id)
  LEFT JOIN items AS i USING (item_id){ITEM_JOINS}
"""  # noqa: S608 (of constants)


class Card(NamedTuple):
    """An item as answers show it, ready to be sent, and what caps count it by."""

    body: orjson.Fragment
    artist_id: str | None
    genre: str | None


class Cards:
    """Items as PostgreSQL knew them within the last ``seconds``."""

    def __init__(self, reader: Reader, seconds: float) -> None:
        """Take where items are."""
        self._reader = reader
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[float, Card]] = OrderedDict()

    async def of(self, item_ids: Sequence[str]) -> list[Card]:
        """Return the card of each item, announced or not.

        Raises:
            ProblemError: PostgreSQL is away.
        """
        now = time.monotonic()
        found, missing = {}, []
        for one in item_ids:
            until, card = self._kept.get(one, (0.0, None))
            if card is not None and now < until:
                found[one] = card
            else:
                missing.append(one)
        if missing:
            for row in await self._reader.rows(_ITEMS, missing):
                found[row["item_id"]] = self._keep(row, now + self._seconds)
        return [found[one] for one in item_ids]

    def _keep(self, row: asyncpg.Record, until: float) -> Card:
        genre = row["genres"][0] if row["genres"] else None
        card = Card(orjson.Fragment(orjson.dumps(item(row))), row["artist_id"], genre)
        self._kept[row["item_id"]] = (until, card)
        self._kept.move_to_end(row["item_id"])
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return card
