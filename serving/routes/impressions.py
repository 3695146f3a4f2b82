"""What listeners were shown, told by who showed it."""

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.access import WRITES
from serving.asks import BODY_PROBLEMS, ImpressionsAsk, read, shown
from serving.impressions import Shown, impression_events
from serving.parts import parts_of
from serving.rendering import answer
from serving.routes.writing import deliver, now_ms
from serving.schemas import Impressed

router = APIRouter(tags=["writing"], dependencies=[WRITES])


@router.post(
    "/impressions",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Impressed,
    responses=BODY_PROBLEMS,
    openapi_extra=shown(ImpressionsAsk),
)
async def impressions(request: Request) -> Response:
    """Say what a listener was shown: an event `impression` for each item, happening now.

    What the listener then plays and likes is counted beside it (`recommendation_outcomes`). 202
    says that Kafka has acknowledged every event. A request that is sent again with the same
    `request_id` counts once.
    """
    ask, parts = await read(request, ImpressionsAsk), parts_of(request)
    events = impression_events(
        ask.user_id,
        [Shown(one.item_id, one.position, one.source, one.model_run_id) for one in ask.impressions],
        now_ms(),
        variant=ask.variant,
        request_id=ask.request_id,
    )
    await deliver(parts, parts.events, events)
    request.state.records = len(events)
    return answer({"accepted": len(events)}, HTTPStatus.ACCEPTED)
