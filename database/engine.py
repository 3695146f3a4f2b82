"""Connections to PostgreSQL that say plainly when it does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg2
from psycopg2 import extensions

from encore.errors import ServiceUnavailableError
from encore.stack.endpoints import redact_url

if TYPE_CHECKING:
    from sqlalchemy import Engine

APPLICATION_NAME = "encore"
# Both are what psycopg2 raises for whatever time may heal: a server that is away or starting, a
# connection cut, no connection left, a deadlock, a lock not to be had, a full disk.
TRANSIENT = (psycopg2.OperationalError, psycopg2.InterfaceError)


def connect(url: str, *, application_name: str = APPLICATION_NAME) -> extensions.connection:
    """Open a connection; raise :class:`ServiceUnavailableError` when PostgreSQL does not answer."""
    try:
        asked = extensions.parse_dsn(url).get("options", "")
        return psycopg2.connect(
            url,
            application_name=application_name,
            options=f"{asked} -c timezone=UTC".strip(),
            connect_timeout=10,
        )
    except psycopg2.OperationalError as error:
        cause = str(error).strip().splitlines()[-1]
        raise ServiceUnavailableError(
            f"PostgreSQL at {redact_url(url)} does not answer: {cause}. "
            "Start it with `encore up postgres`, or mend DATABASE_URL."
        ) from None


@contextmanager
def transaction(
    url: str, *, application_name: str = APPLICATION_NAME
) -> Iterator[extensions.cursor]:
    """Yield a cursor in one transaction: committed at the end, rolled back on any error."""
    connection = connect(url, application_name=application_name)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def with_timeout(url: str, seconds: float) -> str:
    """Return a URL of connections that give a statement up after so many seconds."""
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    options = f"{asked.get('options', '')} -c statement_timeout={round(seconds * 1000)}"
    query = urlencode(asked | {"options": options.strip()}, quote_via=quote)
    return parts._replace(query=query).geturl()


def make_engine(url: str) -> "Engine":
    """Return a SQLAlchemy engine for migrations and schema checks."""
    from sqlalchemy import create_engine  # as long to load as all the rest, and seldom needed

    return create_engine(url.replace("postgresql://", "postgresql+psycopg2://", 1))
