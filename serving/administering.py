"""What changes the database itself, for whoever has a key with the role admin: beside the loop."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar

from database.engine import TRANSIENT, with_timeout
from encore.errors import EncoreError, ServiceUnavailableError
from encore.log import get_logger
from serving.parts import Parts
from serving.problems import PROBLEM_CONTENT, ProblemError, away

log = get_logger("serving")

Value = TypeVar("Value")

CONFLICT: Final[dict[int | str, dict[str, Any]]] = {
    409: {
        "description": "It cannot be done as things are: why",
        "content": PROBLEM_CONTENT,
    }
}


async def administer(parts: Parts, work: Callable[[str], Value]) -> Value:
    """Do work that takes the URL of the database, of which no statement may take too long.

    Raises:
        ProblemError: it cannot be done as things are (409), or a part that it needs is away (503).
    """
    url = with_timeout(parts.database_url, parts.settings.serve_timeout_seconds)
    try:
        return await asyncio.to_thread(work, url)
    except (ServiceUnavailableError, *TRANSIENT) as error:
        log.warning("a part is away", because=f"{type(error).__name__}: {error}")
        raise away(_part(error)) from None
    except EncoreError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error)) from None


def _part(error: Exception) -> str:
    kafka = isinstance(error, ServiceUnavailableError) and "Kafka" in str(error)
    return f"{'Kafka' if kafka else 'PostgreSQL'} does not answer"
