"""Recommendations and estimates by the published model in memory."""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from database.engine import transaction
from encore.events import MAX_ID_LENGTH
from recommender.bundle import PERSONAL
from recommender.live.folded import FoldedLists
from recommender.live.listeners import Listeners
from serving.access import READS
from serving.asks import BODY_PROBLEMS, GroupAsk, SessionAsk, read, shown
from serving.entries import Entry, listed
from serving.parameters import TEXT, Count, ItemId, UserId
from serving.parts import Parts, parts_of
from serving.problems import ProblemError, bad_request, not_found
from serving.reader import APPLICATION_NAME
from serving.recommending import Ask, recommendations
from serving.rendering import answer
from serving.schemas import Because, Estimates, ForGroup, ForSession
from serving.scoring import Scored, because, estimates, for_group, for_session

router = APIRouter(tags=["by the model"], dependencies=[READS])

_NOBODY: Final = ""  # whom only what is popular can be recommended to
_MOST_ITEMS: Final = 100


@router.post(
    "/recommend/session",
    response_model=ForSession,
    responses=BODY_PROBLEMS,
    openapi_extra=shown(SessionAsk),
)
async def session(request: Request) -> Response:
    """Recommend to a listener without a name, by items they like and how much.

    The model solves for them as for anybody else. Where it knows none of the items, what is popular
    is recommended.
    """
    ask, parts = await read(request, SessionAsk), parts_of(request)
    weights: dict[str, float] = {}
    for one in ask.items:
        weights[one.item_id] = weights.get(one.item_id, 0.0) + one.weight
    model = await parts.models.current()
    found: Sequence[Scored] = await parts.models.work(
        partial(
            for_session,
            model.bundle,
            weights,
            ask.exclude,
            ask.n,
            per_artist=ask.max_per_artist,
            per_genre=ask.max_per_genre,
        )
    )
    listed = await _listed(parts, model, found)
    if not found:
        listed = await _popular(
            parts,
            Ask(
                _NOBODY,
                ask.n,
                exclude=[*weights, *ask.exclude],
                per_artist=ask.max_per_artist,
                per_genre=ask.max_per_genre,
            ),
        )
    number = model.bundle.catalogue.number
    return answer(
        {
            "model_run_id": model.model_run_id,
            "unknown": [one for one in weights if one not in number],
            "recommendations": listed,
        }
    )


@router.post(
    "/recommend/group",
    response_model=ForGroup,
    responses=BODY_PROBLEMS,
    openapi_extra=shown(GroupAsk),
)
async def group(request: Request) -> Response:
    """Recommend to several listeners at once, by what the model says that each prefers.

    Where nothing is known of any of them, what is popular is recommended.
    """
    ask, parts = await read(request, GroupAsk), parts_of(request)
    users = list(dict.fromkeys(ask.users))
    model = await parts.models.current()
    listeners = await parts.models.work(partial(_read, parts, model, users))
    found = await parts.models.work(
        partial(
            for_group,
            model.bundle,
            listeners,
            ask.exclude,
            ask.n,
            exclude_known=ask.exclude_known,
            least=ask.strategy == "least_misery",
        )
    )
    listed = await _listed(parts, model, found)
    for entry, one in zip(listed, found, strict=True):
        entry["by_user"] = one.by_user
    if not found:
        listed = await _popular(parts, Ask(_NOBODY, ask.n, exclude=ask.exclude))
        for entry in listed:
            entry["by_user"] = {}
    known = set(listeners.user_ids)
    return answer(
        {
            "model_run_id": model.model_run_id,
            "unknown": [one for one in users if one not in known],
            "recommendations": listed,
        }
    )


@router.get("/because/{user}/{item_id}", response_model=Because)
async def why(request: Request, user: UserId, item_id: ItemId, n: Count = 10) -> Response:
    """Say why the model would recommend an item: what each item of the listener adds to it.

    The predicted preference is the sum over all of the listener's items.
    """
    parts = parts_of(request)
    model = await parts.models.current()
    if item_id not in model.bundle.catalogue.number:
        raise not_found("item in the model", item_id)
    listeners = await _known(parts, model, user)
    shares = await parts.models.work(partial(because, model.bundle, listeners, item_id))
    cards = await parts.cards.of([one for one, _ in shares[:n]])
    return answer(
        {
            "user_id": user,
            "item_id": item_id,
            "model_run_id": model.model_run_id,
            "estimate": sum(share for _, share in shares),
            "because": [
                {"share": share, "item": card.body}
                for (_, share), card in zip(shares[:n], cards, strict=True)
            ],
        }
    )


@router.get("/estimate/{user}/{items:path}", response_model=Estimates)
async def estimate(
    request: Request,
    user: UserId,
    items: Annotated[
        str,
        Path(
            description="Items, with slashes between them: 100 at most.",
            min_length=1,
            max_length=_MOST_ITEMS * (MAX_ID_LENGTH + 1),
            pattern=TEXT,
            examples=["t42/t7"],
        ),
    ],
) -> Response:
    """Predict how much a listener prefers items: about 1 for what they would like, 0 for not."""
    asked = list(dict.fromkeys(one for one in items.split("/") if one))
    if not 0 < len(asked) <= _MOST_ITEMS:
        raise bad_request("items", f"takes 1 to {_MOST_ITEMS} items")
    parts = parts_of(request)
    model = await parts.models.current()
    listeners = await _known(parts, model, user)
    found = await parts.models.work(partial(estimates, model.bundle, listeners, asked))
    return answer(
        {
            "user_id": user,
            "model_run_id": model.model_run_id,
            "estimates": [{"item_id": one, "estimate": value} for one, value in found.items()],
        }
    )


async def _known(parts: Parts, model: FoldedLists, user: str) -> Listeners:
    """Return what a listener gave the model's items.

    Raises:
        ProblemError: nothing positive is known of them.
    """
    listeners = await parts.models.work(partial(_read, parts, model, [user]))
    if not listeners.user_ids:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"of user {user!r} nothing is known that the model could use"
        )
    return listeners


def _read(parts: Parts, model: FoldedLists, users: Sequence[str]) -> Listeners:
    with transaction(parts.database_url, application_name=APPLICATION_NAME) as cursor:
        return model.listeners(cursor, users)


async def _listed(
    parts: Parts, model: FoldedLists, found: Sequence[Scored]
) -> list[dict[str, Any]]:
    """Return scored items as entries of a list, with all that is said of them."""
    cards = await parts.cards.of([one.item_id for one in found])
    entries = [
        Entry(one.item_id, one.score, PERSONAL, one.reason, card)
        for one, card in zip(found, cards, strict=True)
    ]
    return listed(entries, 1, model.model_run_id)


async def _popular(parts: Parts, ask: Ask) -> list[dict[str, Any]]:
    told = await recommendations(parts.reader, parts.cards, ask)
    listed: list[dict[str, Any]] = told.body["recommendations"]
    return listed
