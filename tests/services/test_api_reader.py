"""The API's connections to PostgreSQL when a session ends in the middle of something."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from database.engine import transaction
from serving.problems import ProblemError
from serving.reader import Reader
from tests.door import Door
from tests.live import execute, wait_until

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


def test_who_asks_while_every_connection_is_taken_waits_for_a_turn(database_url: str) -> None:
    async def ask() -> tuple[list[int], int]:
        async with reading(database_url, connections=2) as reader:
            sessions = await asyncio.gather(*(backend(reader) for _ in range(20)))
            return sessions, len(sessions)

    sessions, answers = asyncio.run(ask())
    assert answers == 20
    assert len(set(sessions)) <= 2


def test_who_gets_no_turn_in_time_is_told_to_come_again(database_url: str) -> None:
    async def ask() -> list[int]:
        async with reading(database_url, timeout_seconds=0.5) as reader:
            slow = asyncio.create_task(reader.rows("SELECT pg_sleep(30)"))
            await until_asked(reader)
            with pytest.raises(ProblemError, match="PostgreSQL does not answer") as told:
                await one(reader)
            assert told.value.status == 503
            with pytest.raises(ProblemError, match="PostgreSQL does not answer"):
                await slow
            return await one(reader)  # the statement given up does not hold the connection

    assert asyncio.run(ask()) == [1]


def test_a_statement_that_takes_too_long_is_given_up_by_postgresql_too(database_url: str) -> None:
    async def ask() -> tuple[int, int]:
        async with reading(database_url, timeout_seconds=0.5) as reader:
            before = await backend(reader)
            with pytest.raises(ProblemError, match="PostgreSQL does not answer"):
                await reader.rows("SELECT pg_sleep(60)")
            return before, await backend(reader)

    before, after = asyncio.run(ask())
    assert before == after  # whose statement was cancelled: it answers again

    def given_up() -> bool:
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE query ~ 'pg_sleep.60' AND state = 'active'"
        return execute(database_url, sleeping + " AND pid <> pg_backend_pid()") == []

    wait_until(given_up, "it sleeps no more", timeout=20)


def test_a_request_that_is_given_up_leaves_a_connection_that_answers(database_url: str) -> None:
    async def ask() -> list[int]:
        async with reading(database_url) as reader:
            asked = asyncio.create_task(reader.rows("SELECT pg_sleep(30)"))
            await until_asked(reader)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            return await one(reader)

    assert asyncio.run(ask()) == [1]


def test_a_connection_idle_for_long_is_not_trusted(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> tuple[int, int, int]:
        async with reading(database_url) as reader:
            first, again = await backend(reader), await backend(reader)
            monkeypatch.setattr("serving.connections._IDLE_SECONDS", 0.0)
            return first, again, await backend(reader)

    first, again, later = asyncio.run(ask())
    assert first == again != later


def test_a_reader_that_is_closed_leaves_no_session(database_url: str) -> None:
    async def ask() -> list[int]:
        async with reading(database_url, connections=2) as reader:
            return list(await asyncio.gather(*(backend(reader) for _ in range(4))))

    sessions = asyncio.run(ask())

    def gone() -> bool:
        with transaction(database_url) as cursor:
            cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ANY (%s)", (sessions,))
            return cursor.fetchone() is None

    wait_until(gone, "they are gone")


@asynccontextmanager
async def reading(
    url: str, connections: int = 1, timeout_seconds: float = 10.0
) -> AsyncIterator[Reader]:
    """Yield a reader."""
    reader = Reader(url, connections=connections, timeout_seconds=timeout_seconds)
    await reader.open()
    try:
        yield reader
    finally:
        await reader.close()


async def one(reader: Reader) -> list[int]:
    return [row["one"] for row in await reader.rows("SELECT $1::integer AS one", 1)]


async def backend(reader: Reader) -> int:
    """Return the process of PostgreSQL that answers."""
    return int((await reader.rows("SELECT pg_backend_pid()"))[0][0])


async def until_asked(reader: Reader) -> None:
    """Return once the only connection is taken."""
    assert reader._connections is not None
    async with asyncio.timeout(10):
        while not reader._connections._turns.locked():
            await asyncio.sleep(0)
