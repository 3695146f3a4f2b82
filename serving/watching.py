"""Listeners that somebody watches: whether they did something, or have another list."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from serving.broadcast import Broadcast
from serving.problems import ProblemError
from serving.reader import Reader

_STATE: Final = """
SELECT w.user_id, coalesce((SELECT sum(d.events) FROM user_counts_day AS d
                             WHERE d.user_id = w.user_id), 0)::bigint AS events,
       p.model_run_id, l.made_at
  FROM unnest($1::text[]) AS w (user_id)
  LEFT JOIN published_run AS p ON true
  LEFT JOIN live_recommendations AS l
    ON l.user_id = w.user_id AND l.model_run_id = p.model_run_id
"""

State = dict[str, Any]


class Watching:
    """Looks once a second at all of them, by one statement."""

    def __init__(self, reader: Reader) -> None:
        """Take where to look."""
        self._reader = reader
        self._watched: Counter[str] = Counter()
        self._broadcast = Broadcast(self._look)

    async def follow(self, user_id: str) -> AsyncGenerator[State | ProblemError | None, None]:
        """Yield the state of a listener whenever it is another; None where it is as it was."""
        self._watched[user_id] += 1
        last: State | ProblemError | None = None
        try:
            async with aclosing(self._broadcast.listen()) as seen:
                async for every in seen:
                    state = every if isinstance(every, ProblemError) else every.get(user_id)
                    yield state if state != last else None
                    last = state or last
        finally:
            self._watched[user_id] -= 1
            self._watched += Counter()  # forgets who is watched by nobody

    async def end(self) -> None:
        """Let everybody go."""
        await self._broadcast.end()

    async def _look(self) -> dict[str, State]:
        rows = await self._reader.rows(_STATE, list(self._watched))
        return {row["user_id"]: dict(row) for row in rows}
