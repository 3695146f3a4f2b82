"""Listeners announced anew and deleted: by a record in Kafka, which the stream counts."""

import hashlib
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from encore.events import SCHEMA_VERSION, USER_FIELDS
from serving.access import WRITES
from serving.bodies import JSON, read_body
from serving.contract import request_body
from serving.parameters import UserId
from serving.parts import parts_of
from serving.problems import ProblemError, bad_request
from serving.rendering import answer
from serving.routes.writing import RESPONSES, deliver
from serving.schemas import Accepted, Deleted

router = APIRouter(tags=["writing"], dependencies=[WRITES])


def _body() -> dict[str, Any]:
    """Return how OpenAPI shows a listener whom the path names."""
    fields = [one for one in USER_FIELDS if one.name not in ("user_id", "schema_version")]
    shown = request_body(fields, {"country": "SE", "level": "paid"})
    content = shown["requestBody"]["content"][JSON]
    content["schema"] = content["schema"]["anyOf"][0]
    shown["requestBody"]["content"] = {JSON: content}
    return shown


_USER_BODY: Final = _body()


@router.put(
    "/users/{user}",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=RESPONSES,
    openapi_extra=_USER_BODY,
)
async def announce(request: Request, user: UserId) -> Response:
    """Announce a listener: whatever was announced of them before is replaced.

    202 says that Kafka has it. What they did stays.
    """
    parts = parts_of(request)
    body = await read_body(request, parts.settings.serve_max_request_bytes)
    value = orjson.dumps({"schema_version": SCHEMA_VERSION, **_object(body), "user_id": user})
    await deliver(parts, parts.users, [value])
    request.state.records = 1
    return answer({"accepted": 1, "rejected": 0, "errors": []}, HTTPStatus.ACCEPTED)


@router.delete("/users/{user}", status_code=HTTPStatus.ACCEPTED, response_model=Deleted)
async def delete(request: Request, user: UserId) -> Response:
    """Delete a listener and all that names them, known or not.

    202 says that Kafka has the deletion. The stream counts it within seconds; who does something
    afterwards is known anew from there on.
    """
    parts = parts_of(request)
    digest = hashlib.sha256(user.encode()).hexdigest()
    request.state.path = request.scope["path"].removesuffix(user) + digest
    await parts.writer.deliver(parts.users.topic, [(user.encode(), None)])
    parts.measures.records(parts.users.topic, "acknowledged", 1)
    request.state.records = 1
    if parts.cache is not None:
        await parts.cache.forget([user])
    return answer({"user_id": user, "digest": digest}, HTTPStatus.ACCEPTED)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("body", "is no JSON") from None
    if not isinstance(found, dict):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "the body is no JSON object")
    return found
