"""Writing: events, items and listeners into Kafka, never straight into PostgreSQL."""

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from encore.events import UUID_PATTERN
from encore.happening import happening
from serving.access import WRITES
from serving.bodies import read_body, records_of
from serving.contract import EVENT_BODY, ITEM_BODY, USER_BODY, Intake, Taken, take
from serving.direct import Direct
from serving.parameters import ItemId, UserId
from serving.parts import Parts, parts_of
from serving.problems import PROBLEM_CONTENT, ProblemError
from serving.queries import read_query, shown_in_query
from serving.rendering import answer
from serving.schemas import Accepted, Preferred

_AT_ONCE: Final = 100
router = APIRouter(tags=["writing"], dependencies=[WRITES], route_class=Direct)


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": PROBLEM_CONTENT}


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    413: _problem("The body is larger than SERVE_MAX_REQUEST_BYTES"),
    415: _problem("The body is neither JSON nor NDJSON"),
    422: _problem("No record keeps the contract: what is wrong with each"),
}


class _Unliked(BaseModel):
    event_id: Annotated[
        str | None,
        Query(
            description="Id of the event, a UUID. Give one to be able to send the call again: it "
            "counts once.",
            pattern=UUID_PATTERN,
        ),
    ] = None


class _Preferred(_Unliked):
    kind: Annotated[
        Literal["like", "dislike"], Query(description="Whether it is liked or disliked.")
    ] = "like"


@router.post(
    "/events",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=RESPONSES,
    openapi_extra=EVENT_BODY,
)
async def events(request: Request) -> Response:
    """Take in events: one, an array, or NDJSON (`docs/events.md` says what an event is).

    202 says that Kafka has acknowledged every event that keeps the contract, and names the others
    by position. An event that is sent again counts once, by its `event_id`.
    """
    return await _take_in(request, parts_of(request).events)


@router.post(
    "/items",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=RESPONSES,
    openapi_extra=ITEM_BODY,
)
async def items(request: Request) -> Response:
    """Announce items: one, an array, or NDJSON. The whole item is replaced."""
    return await _take_in(request, parts_of(request).items)


@router.post(
    "/users",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=RESPONSES,
    openapi_extra=USER_BODY,
)
async def users(request: Request) -> Response:
    """Announce listeners: one, an array, or NDJSON. Whatever was known of one is replaced."""
    return await _take_in(request, parts_of(request).users)


@router.put(
    "/preference/{user}/{item_id}",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Preferred,
    openapi_extra=shown_in_query(_Preferred),
)
async def prefer(request: Request, user: UserId, item_id: ItemId) -> Response:
    """Say that a listener likes or dislikes an item: an event of that type, happening now."""
    asked = read_query(request, _Preferred)
    return await _happen(request, asked.kind, user, item_id, asked.event_id)


@router.delete(
    "/preference/{user}/{item_id}",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Preferred,
    openapi_extra=shown_in_query(_Unliked),
)
async def unlike(request: Request, user: UserId, item_id: ItemId) -> Response:
    """Take a like back: an event `unlike`, happening now."""
    asked = read_query(request, _Unliked)
    return await _happen(request, "unlike", user, item_id, asked.event_id)


async def _take_in(request: Request, intake: Intake) -> Response:
    parts = parts_of(request)
    body = await read_body(request, parts.settings.serve_max_request_bytes)
    values = records_of(body, request.headers.get("content-type", ""))
    taken = await deliver(parts, intake, values)
    request.state.records = len(taken.records)
    return answer(
        {
            "accepted": len(taken.records),
            "rejected": len(taken.errors),
            "errors": taken.errors,
        },
        HTTPStatus.ACCEPTED,
    )


async def _happen(
    request: Request, event_type: str, user: str, item: str, event_id: str | None
) -> Response:
    parts, event = parts_of(request), happening(event_type, user, item, event_id)
    await deliver(parts, parts.events, [orjson.dumps(event)])
    request.state.records = 1
    return answer(
        {name: event[name] for name in ("event_id", "event_type", "user_id", "item_id")},
        HTTPStatus.ACCEPTED,
    )


async def deliver(parts: Parts, intake: Intake, values: Sequence[bytes]) -> Taken:
    """Judge records and send those that keep the contract.

    Raises:
        ProblemError: none keeps it (422), or Kafka does not take them (503).
    """
    if len(values) <= _AT_ONCE:
        taken = take(intake, values, now_ms())
    else:  # other requests need not wait for all of them
        taken = await asyncio.to_thread(take, intake, values, now_ms())
    parts.measures.records(intake.topic, "rejected", len(taken.errors))
    if not taken.records:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no record keeps the contract (docs/events.md)",
            errors=taken.errors,
        )
    try:
        await parts.writer.deliver(intake.topic, taken.records)
    except ProblemError:
        parts.measures.records(intake.topic, "given_up", len(taken.records))
        raise
    parts.measures.records(intake.topic, "acknowledged", len(taken.records))
    return taken


def now_ms() -> int:
    """Return the time as events have it."""
    return round(time.time() * 1000)
