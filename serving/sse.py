"""Answers that go on: server-sent events, of what is seen and of why nothing can be."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import orjson
from fastapi.sse import EventSourceResponse, format_sse_event

from serving.access import Access, Caller
from serving.problems import ProblemError

_SIGN_OF_LIFE_SECONDS: Final = 10.0
# Proxies that gather an answer before they hand it on would gather this one for ever.
HEADERS: Final = {"X-Accel-Buffering": "no"}
SCHEMA: Final = {"text/event-stream": {"schema": {"type": "string"}}}


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """Return one event as it goes over the wire."""
    return format_sse_event(event=name, data_str=orjson.dumps(data).decode())


def problem(error: ProblemError) -> bytes:
    """Return a problem as an event: an answer that has begun has its status already."""
    told = {"status": error.status.value, "title": error.status.phrase, "detail": error.detail}
    return event("problem", told)


def streamed(
    name: str,
    seen: AsyncGenerator[Mapping[str, Any] | ProblemError | None, None],
    access: Access,
    caller: Caller,
    most: int | None,
) -> EventSourceResponse:
    """Answer with what is seen as events of a name, until the caller goes or the key is revoked.

    None is nothing new. ``most`` ends it after so many events.

    Raises:
        ProblemError: the key has as many of them as it may have.
    """
    access.one_more(caller)
    return EventSourceResponse(_told(name, seen, access, caller, most), headers=HEADERS)


async def _told(
    name: str,
    seen: AsyncGenerator[Mapping[str, Any] | ProblemError | None, None],
    access: Access,
    caller: Caller,
    most: int | None,
) -> AsyncIterator[bytes]:
    told, told_at = 0, time.monotonic()
    async with access.going_on(caller), aclosing(seen) as every:
        async for one in every:
            try:
                await access.still_counts(caller)
            except ProblemError as error:
                yield problem(error)
                return
            now = time.monotonic()
            if one is None and now - told_at < _SIGN_OF_LIFE_SECONDS:
                continue
            told_at = now
            if one is None:
                yield format_sse_event(comment="nothing new")
                continue
            yield problem(one) if isinstance(one, ProblemError) else event(name, one)
            told += 1
            if most is not None and told >= most:
                return
