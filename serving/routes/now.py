"""How the platform does at this moment and did before, and what happens to one listener."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from serving import sse
from serving.access import READS, Caller
from serving.chronicle import history
from serving.parameters import MOST, UserId
from serving.parts import parts_of
from serving.rendering import answer
from serving.schemas import Chronicle, Now

router = APIRouter(tags=["now"])

_Most = Annotated[
    int | None, Query(description="End after so many events. Default: never.", ge=1, le=MOST)
]
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Server-sent events", "content": sse.SCHEMA}
}


@router.get("/now", response_model=Now, dependencies=[READS])
async def now(request: Request) -> Response:
    """Say what comes in, what is counted and what waits, who listens, and the newest batches."""
    return answer(await parts_of(request).pulse.look())


@router.get("/now/history", response_model=Chronicle, dependencies=[READS])
async def now_history(
    request: Request,
    minutes: Annotated[
        int | None,
        Query(description="The last minutes. Default: since the first batch.", ge=1, le=525_600),
    ] = None,
) -> Response:
    """Say how the platform did: columns over time, in steps that are over."""
    parts = parts_of(request)
    topic = parts.settings.topics.events
    return answer(await history(parts.reader, parts.pulse.samples, topic, minutes))


@router.get("/stream/now", response_class=Response, responses=_STREAM)
async def stream_now(
    request: Request, caller: Annotated[Caller, READS], most: _Most = None
) -> Response:
    """Say once a second what `/now` says, as events `now`; `problem` where it cannot be said."""
    parts = parts_of(request)
    return sse.streamed("now", parts.pulse.broadcast.listen(), parts.access, caller, most)


@router.get("/stream/users/{user}", response_class=Response, responses=_STREAM)
async def stream_user(
    request: Request, user: UserId, caller: Annotated[Caller, READS], most: _Most = None
) -> Response:
    """Say when a listener did something or has another list, as events `listener`."""
    parts = parts_of(request)
    return sse.streamed("listener", parts.watching.follow(user), parts.access, caller, most)
