"""One act of a listener, sent and followed until their list knows of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from functools import partial
from itertools import chain
from threading import Semaphore
from typing import Annotated, Any, Final

import orjson
import psycopg2
from fastapi import APIRouter, Query, Request
from fastapi.sse import EventSourceResponse
from starlette.responses import Response

from database.engine import connect
from database.journey import ACKNOWLEDGED, COUNTED, PRODUCED, Hop, Journey, Sent, Stopped
from encore.errors import EncoreError
from encore.log import get_logger
from serving import asks, sse
from serving.access import WRITES
from serving.acts import acting
from serving.parts import parts_of
from serving.reader import APPLICATION_NAME

log = get_logger("serving")
router = APIRouter(tags=["writing"], dependencies=[WRITES])

_AT_ONCE: Final = 4
_SLOTS: Final = Semaphore(_AT_ONCE)
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Server-sent events: `sent`, `hop`s, or `stopped`", "content": sse.SCHEMA},
}


@router.post(
    "/trace",
    response_class=Response,
    responses=_STREAM,
    openapi_extra=asks.shown(asks.TraceAsk),
)
async def trace(
    request: Request,
    wait: Annotated[float, Query(description="Longest wait for a hop, in s.", gt=0, le=60)] = 15.0,
) -> Response:
    """Let a listener play, skip or like an item now, and say when each hop of the event is done.

    An event `sent` has the event, each `hop` its name and the seconds since it was sent, and
    `stopped` why it did not come on. The event counts like any other, whoever goes on listening.
    """
    parts, began = parts_of(request), time.monotonic()
    ask = await asks.read(request, asks.TraceAsk)
    act = await acting(parts.reader, ask.user_id, ask.item_id, ask.act)
    topic, elapsed = parts.settings.topics.events, partial(_since, began)
    produced = elapsed()
    place = await parts.writer.deliver(topic, [(ask.user_id.encode(), orjson.dumps(act.event))])
    request.state.records = 1
    parts.measures.records(topic, "acknowledged", 1)
    where = f"partition {place.partition}, offset {place.offset} of {topic}"
    sent = Sent(ask.user_id, ask.item_id, topic, place.partition, place.offset)
    told = [
        sse.event("sent", act.event),
        _event(Hop(PRODUCED, produced)),
        _event(Hop(ACKNOWLEDGED, elapsed(), where)),
    ]
    followed = _followed(parts.database_url, sent, act.list_before, wait, elapsed)
    return EventSourceResponse(chain(told, map(_event, followed)), headers=sse.HEADERS)


def _followed(
    url: str,
    sent: Sent,
    list_before: datetime | None,
    wait: float,
    elapsed: Callable[[], float],
) -> Iterator[Hop | Stopped]:
    if not _SLOTS.acquire(blocking=False):
        seen = f"{_AT_ONCE} events are being followed already"
        yield Stopped(COUNTED, seen, "Kafka has this one all the same.")
        return
    try:
        with closing(connect(url, application_name=APPLICATION_NAME)) as connection:
            connection.autocommit = True
            yield from Journey(connection, sent, list_before, wait, elapsed).hops()
    except (EncoreError, psycopg2.Error) as error:
        log.warning("PostgreSQL does not answer", because=f"{type(error).__name__}: {error}")
        yield Stopped(
            COUNTED, "PostgreSQL does not answer", "Nothing is lost: Kafka has the event."
        )
    finally:
        _SLOTS.release()


def _since(moment: float) -> float:
    return time.monotonic() - moment


def _event(step: Hop | Stopped) -> bytes:
    return sse.event("hop" if isinstance(step, Hop) else "stopped", asdict(step))
