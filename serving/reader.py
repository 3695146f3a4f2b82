"""Reading from PostgreSQL, over connections whose statements stay prepared.

Connections are opened when they are needed, so the API starts without PostgreSQL, and answers again
as soon as PostgreSQL does.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg
from asyncpg import exceptions

from encore.log import get_logger
from serving.connections import Connection, Connections
from serving.problems import ProblemError, away

log = get_logger("serving")

APPLICATION_NAME: Final = "encore serve"
_CONNECT_SECONDS: Final = 5.0
# What time may heal: no connection, none left, shut down, starting, a query given up.
_MAY_PASS: Final = (
    OSError,
    TimeoutError,
    exceptions.PostgresConnectionError,
    exceptions.OperatorInterventionError,
    exceptions.InsufficientResourcesError,
    exceptions.InvalidAuthorizationSpecificationError,
    exceptions.InvalidCatalogNameError,
    exceptions.InterfaceError,
    # What asyncpg says of a connection on which PostgreSQL has announced its end.
    exceptions.InternalClientError,
)
_LACKS = (exceptions.UndefinedTableError, exceptions.UndefinedFunctionError)


_Answer = TypeVar("_Answer")


class Reader:
    """Connections to PostgreSQL, opened within a running loop."""

    def __init__(self, url: str, *, connections: int, timeout_seconds: float) -> None:
        """Take where the database is, and how long an answer is waited for."""
        self._url = url
        self._most = connections
        self._timeout = timeout_seconds
        self._connections: Connections | None = None

    async def open(self) -> None:
        """Make ready, without a connection yet."""
        self._connections = Connections(
            self._url,
            self._most,
            self._timeout,
            timeout=min(_CONNECT_SECONDS, self._timeout),
            command_timeout=self._timeout,
            server_settings={"application_name": APPLICATION_NAME, "timezone": "UTC"},
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._connections is not None:
            self._connections.close()

    async def rows(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Return the rows of a statement.

        Raises:
            ProblemError: PostgreSQL is away, or does not answer in time.
        """
        return await self._ask(lambda connection: connection.fetch(statement, *values))

    async def row(self, statement: str, *values: object) -> asyncpg.Record | None:
        """Return the first row of a statement, if there is one."""
        found = await self.rows(statement, *values)
        return found[0] if found else None

    async def copy_rows(
        self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Append rows to a table by COPY, all or none.

        Raises:
            ProblemError: PostgreSQL is away, or does not answer in time.
        """
        await self._ask(
            lambda connection: connection.copy_records_to_table(
                table, columns=columns, records=rows
            )
        )

    async def _ask(self, ask: Callable[[Connection], Awaitable[_Answer]]) -> _Answer:
        if self._connections is None:
            raise away("the API is starting")
        try:
            return await self._connections.run(ask)
        except (*_MAY_PASS, *_LACKS) as error:
            raise _problem(error) from None


def _problem(error: Exception) -> ProblemError:
    log.warning("PostgreSQL does not answer", because=f"{type(error).__name__}: {error}")
    if isinstance(error, _LACKS):
        return away("the database lacks tables: `encore migrate` makes them")
    return away("PostgreSQL does not answer")


def plain(rows: Sequence[asyncpg.Record]) -> list[dict[str, Any]]:
    """Return rows as dictionaries."""
    return [dict(one) for one in rows]
