"""The API's connections to PostgreSQL when a session ends in the middle of something."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serving.problems import ProblemError
from serving.reader import Reader
from tests.door import Door

pytestmark = pytest.mark.services

# PostgreSQL says so before it closes the connection of a session that waits for a statement.
SHUT_DOWN = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"
TERMINATING = b"E" + (len(SHUT_DOWN) + 4).to_bytes(4, "big") + SHUT_DOWN


def test_a_session_whose_end_was_announced_is_given_up_and_another_answers(
    database_url: str,
) -> None:
    async def ask(door: Door, url: str) -> list[int]:
        async with reading(url) as reader:
            assert await one(reader) == [1]
            # The loop comes back from the thread with what was said there: it has been read.
            await asyncio.to_thread(door.last_words, TERMINATING)
            with pytest.raises(ProblemError, match="PostgreSQL does not answer") as told:
                await one(reader)
            assert (told.value.status, told.value.retry_after) == (503, 1)
            return await one(reader)

    with Door.to(database_url) as (door, there):
        door.open()
        assert asyncio.run(ask(door, there)) == [1]


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Reader]:
    """Yield a reader that has one connection."""
    reader = Reader(url, connections=1, timeout_seconds=10)
    await reader.open()
    try:
        yield reader
    finally:
        await reader.close()


async def one(reader: Reader) -> list[int]:
    return [row["one"] for row in await reader.rows("SELECT $1::integer AS one", 1)]
