"""Recommendations from PostgreSQL."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel
from starlette.responses import Response

from serving.access import READS, require
from serving.asks import Id
from serving.direct import Direct
from serving.impressions import Shown, impression_events
from serving.keys import Role
from serving.parameters import MOST, Count, Genre, UserId
from serving.parts import Parts, parts_of
from serving.past import past_recommendations
from serving.problems import bad_request
from serving.queries import read_query, shown_in_query
from serving.ready import keep
from serving.recommending import Ask, Told, of_cursor, recommendations
from serving.rendering import answer
from serving.routes.writing import deliver, now_ms
from serving.schemas import Recommendations

_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)

router = APIRouter(tags=["recommendations"], dependencies=[READS], route_class=Direct)


class _Asked(BaseModel):
    n: Count = 10
    offset: Annotated[
        int, Query(description="How many of the list to leave out first.", ge=0, le=MOST)
    ] = 0
    cursor: Annotated[
        str | None,
        Query(
            description="`next` of the answer before: goes on behind it, without showing an item "
            "twice. Send the other parameters as before, without offset.",
            max_length=32_768,
        ),
    ] = None
    genre: Genre = None
    exclude: Annotated[
        list[Id] | None,
        Query(description="Items to leave out. May be given again.", max_length=100),
    ] = None
    exclude_known: Annotated[
        bool,
        Query(description="Whether what the listener has come to know is left out."),
    ] = True
    max_per_artist: Annotated[
        int, Query(description="Most items of one artist. 0: any number.", ge=0, le=MOST)
    ] = 0
    max_per_genre: Annotated[
        int, Query(description="Most items of one main genre. 0: any number.", ge=0, le=MOST)
    ] = 0
    as_of: Annotated[
        AwareDatetime | None,
        Query(
            description="The list as it was shown at this moment (ISO 8601 with its offset from "
            "UTC), as far as it is known: without what was filled up.",
            examples=["2026-05-01T12:00:00Z"],
        ),
    ] = None
    write_back: Annotated[
        bool,
        Query(
            description="Whether the answer counts as shown: its entries are sent as impressions, "
            "before it is given. Takes a key that may write."
        ),
    ] = False


@router.get(
    "/recommend/{user}", response_model=Recommendations, openapi_extra=shown_in_query(_Asked)
)
async def recommend(request: Request, user: UserId) -> Response:
    """Say what to recommend to a listener, known or not: as `recommendations_for` in SQL."""
    asked = read_query(request, _Asked)
    as_of = asked.as_of
    if asked.write_back:
        require(request, Role.WRITE)
    if as_of is not None and not _OLDEST <= as_of <= datetime.now(UTC):
        raise bad_request("as_of", "lies in the future, or before 1970")
    if as_of is not None and asked.write_back:
        raise bad_request("as_of", "what is asked for by it was not shown now: no write_back")
    if asked.cursor is not None and asked.offset:
        raise bad_request("offset", "does not go with a cursor")
    ask = Ask(
        user,
        asked.n,
        asked.offset,
        asked.genre,
        asked.exclude or (),
        asked.exclude_known,
        asked.max_per_artist,
        asked.max_per_genre,
        of_cursor(asked.cursor) if asked.cursor is not None else (),
    )
    parts = parts_of(request)
    if as_of is not None:
        return answer(await past_recommendations(parts.reader, parts.cards, ask, as_of))
    variant = await parts.published.variant(user)
    told = await recommendations(parts.reader, parts.cards, ask.shown_as(variant))
    if asked.write_back:
        await _write_back(request, parts, told)
    else:
        keep(request)
    return answer(told.body)


async def _write_back(request: Request, parts: Parts, told: Told) -> None:
    """Send what is recommended as impressions, and return when Kafka has them."""
    listed = told.body["recommendations"]
    shown = [
        Shown(entry.item_id, one["rank"], one["source"], one["model_run_id"])
        for entry, one in zip(told.shown, listed, strict=True)
    ]
    if shown:
        user, variant = told.body["user_id"], told.body["variant"]
        await deliver(
            parts, parts.events, impression_events(user, shown, now_ms(), variant=variant)
        )
    request.state.records = len(shown)
