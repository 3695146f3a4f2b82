"""Watching costs one look a second, whoever watches; charts have steps that people read."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from serving.broadcast import Broadcast
from serving.chronicle import by_step, step_of
from serving.problems import ProblemError
from serving.pulse import Sample


class Looks:
    """Counts looks, and fails at those of some numbers."""

    def __init__(self, failing: Sequence[int] = ()) -> None:
        self.count = 0
        self._failing = failing

    async def __call__(self) -> int:
        self.count += 1
        if self.count in self._failing:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "away")
        return self.count


async def first(stream: AsyncGenerator[Any, None], count: int) -> list[Any]:
    """Return so many of what a stream yields, then leave it."""
    found = []
    async with aclosing(stream):
        async for one in stream:
            found.append(one)
            if len(found) == count:
                break
    return found


def test_three_who_watch_see_the_same_looks() -> None:
    async def watch() -> tuple[list[list[Any]], int]:
        looks = Looks()
        broadcast = Broadcast(looks)
        seen = await asyncio.gather(*(first(broadcast.listen(), 2) for _ in range(3)))
        return seen, looks.count

    assert asyncio.run(watch()) == ([[1, 2]] * 3, 2)


def test_what_is_away_is_told_and_looked_for_again() -> None:
    async def watch() -> list[Any]:
        return await first(Broadcast(Looks(failing=[1])).listen(), 2)

    away, back = asyncio.run(watch())
    assert (away.status, back) == (HTTPStatus.SERVICE_UNAVAILABLE, 2)


def test_all_are_let_go_at_the_end() -> None:
    async def watch() -> list[Any]:
        broadcast = Broadcast(Looks())
        seen = []
        async for one in broadcast.listen():
            seen.append(one)
            await broadcast.end()
        return seen

    assert asyncio.run(watch()) == [1]


def test_a_span_has_a_hundred_steps_at_most() -> None:
    spans = {15 * 60: 10, 3_600: 60, 6 * 3_600: 300, 86_400: 1_800, 30 * 86_400: 86_400}
    assert {span: step_of(span) for span in spans} == spans
    assert step_of(0) == 5


def test_samples_fall_into_the_step_that_they_were_taken_in() -> None:
    one, two, three = (Sample(at, 1.0, 0, 0.5) for at in (100.0, 109.9, 110.0))
    assert by_step([one, two, three], 10) == {100: [one, two], 110: [three]}
