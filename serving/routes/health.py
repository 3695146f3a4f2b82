"""Who answers, how well, and who asks."""

from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from serving.access import READS, Caller
from serving.health import NEEDED, UP
from serving.parts import parts_of
from serving.problems import RETRY_SECONDS
from serving.rendering import answer
from serving.schemas import Hello, Key, Live, Ready

router = APIRouter(tags=["health"])


@router.get("/hello", response_model=Hello)
async def hello() -> Response:
    """Say who answers."""
    return answer({"name": "encore", "version": version("encore")})


@router.get("/health/live", response_model=Live)
async def live() -> Response:
    """Say that the process answers."""
    return answer({"status": "live"})


@router.get(
    "/health/ready",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "A part is away: which one"}},
)
async def ready(request: Request) -> Response:
    """Say whether all that the API needs is there, and which part is away.

    Redis is not needed: without it PostgreSQL answers everything.
    """
    parts = await parts_of(request).health.parts()
    well = all(parts[one] == UP for one in NEEDED)
    body = {"status": "ready" if well else "not ready", "parts": parts}
    told = answer(body, HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)
    if not well:
        told.headers["Retry-After"] = str(RETRY_SECONDS)
    return told


@router.get("/key", response_model=Key)
async def key(caller: Annotated[Caller, READS]) -> Response:
    """Say what the key of the request may do."""
    return answer({"key_id": caller.key_id, "role": caller.role.value})


@router.get(
    "/metrics",
    dependencies=[READS],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Say how many requests there were and how long they took, as Prometheus reads it."""
    return Response(parts_of(request).measures.text(), media_type=CONTENT_TYPE_LATEST)
