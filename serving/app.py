"""The API, and the dashboard on top of it, as one ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from encore.cache import namespace
from encore.settings import Settings
from serving import asks, page
from serving.access import Access, tell_ways
from serving.cache import Cache
from serving.cards import Cards
from serving.contract import event_intake, item_intake, user_intake
from serving.direct import Shortcut
from serving.gate import Gate
from serving.health import Health
from serving.journal import Journal
from serving.limits import Limiter
from serving.measures import Measures
from serving.models import Models
from serving.parts import Parts
from serving.problems import PROBLEM_CONTENT, ProblemError, of_http, of_problem, of_validation
from serving.published import Published
from serving.pulse import Pulse
from serving.reader import Reader
from serving.ready import Ready
from serving.routes import (
    data,
    experiments,
    health,
    impressions,
    items,
    journal,
    listeners,
    music,
    now,
    recommend,
    rejected,
    runs,
    scored,
    search,
    tracing,
    users,
    writing,
)
from serving.schemas import Problem
from serving.watching import Watching
from serving.writer import Writer

PREFIX: Final = "/api/v1"
_ABOUT: Final = """\
Recommendations, items and listeners of Encore, and their events into Kafka.

Every call but those of health needs a key (`encore keys make`): as `X-API-Key`, or as a bearer
token. Errors are problem details (RFC 9457). With 429 and 503 comes `Retry-After`, in s.
"""
# In this order they are looked through for each request: what is asked most comes first.
_PARTS: Final = (
    recommend, writing, scored, items, users, listeners, search, impressions, experiments, tracing,
    now, music, runs, data, rejected, journal, health,
)  # fmt: skip
_MEANING: Final = {
    400: "A parameter is not as declared: which one",
    401: "No key, or one that does not count",
    403: "The role of the key does not allow it",
    404: "Nobody knows of it",
    429: "More requests than the key may make",
    500: "A fault of the server",
    503: "A part that the answer needs is away, or too slow",
}


def create_app(settings: Settings, database_url: str, kafka: str, redis: str = "") -> FastAPI:
    """Make the application of one process; ``kafka`` is where the brokers are.

    Neither PostgreSQL nor Kafka need be there: it answers 503 until they are. With ``redis`` empty
    no answer is kept.
    """
    parts = _parts(settings, database_url, kafka, redis)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await parts.reader.open()
        await parts.journal.open()
        await parts.published.open()
        try:
            yield
        finally:
            await parts.published.close()
            if parts.cache is not None:
                await parts.cache.close()
            await parts.end_streams()
            await parts.pulse.close()
            await parts.journal.close()
            await parts.reader.close()
            parts.writer.close()
            await parts.models.close()

    app = FastAPI(
        title="Encore",
        description=_ABOUT,
        version=version("encore"),
        lifespan=lifespan,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours are at /metrics
    )
    app.state.parts = parts
    for part in _PARTS:
        app.include_router(part.router, prefix=PREFIX)
    app.router.routes.extend(page.ROUTES)
    app.exception_handler(ProblemError)(of_problem)
    app.exception_handler(RequestValidationError)(of_validation)
    app.exception_handler(HTTPException)(of_http)
    app.add_middleware(
        Shortcut, prefix=PREFIX, routes=[route for part in _PARTS for route in part.router.routes]
    )
    if parts.cache is not None:
        app.add_middleware(
            Ready,
            prefix=PREFIX,
            cache=parts.cache,
            access=parts.access,
            published=parts.published,
            measures=parts.measures,
        )
    _let_browsers(app, settings.serve_cors_origins)
    app.add_middleware(Gate, measures=parts.measures, journal=parts.journal)
    document = _document(app)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app


def _parts(settings: Settings, database_url: str, kafka: str, redis: str) -> Parts:
    reader = Reader(
        database_url,
        connections=settings.serve_connections,
        timeout_seconds=settings.serve_timeout_seconds,
    )
    topics, measures = settings.topics, Measures()
    limiter = Limiter(settings.serve_rate_per_second)
    space, seconds = namespace(database_url), settings.serve_cache_seconds
    cache = Cache(redis, space, seconds, measures) if redis else None
    return Parts(
        settings=settings,
        database_url=database_url,
        kafka=kafka,
        reader=reader,
        cards=Cards(reader, seconds),
        access=Access(reader, limiter, settings.serve_key_seconds, settings.serve_streams_per_key),
        measures=measures,
        health=Health(reader, kafka, cache),
        writer=Writer(kafka, settings),
        journal=Journal(reader),
        cache=cache,
        published=Published(reader),
        models=Models(database_url, reader, settings, measures),
        pulse=Pulse(reader, kafka, topics.events),
        watching=Watching(reader),
        events=event_intake(
            topics.events, round(settings.stream_future_tolerance_minutes * 60_000)
        ),
        items=item_intake(topics.items),
        users=user_intake(topics.users),
    )


def _let_browsers(app: FastAPI, origins: str) -> None:
    allowed = [one.strip() for one in origins.split(",") if one.strip()]
    if allowed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=allowed,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["X-API-Key", "Authorization", "Content-Type"],
        )


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the problems that each call can end in."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {}) | {"Problem": problem} | asks.schemas()
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    tell_ways(document)
    for path in document["paths"].values():
        for operation in path.values():
            _tell_problems(operation)
    return document


def _tell_problems(operation: dict[str, Any]) -> None:
    told = operation["responses"]
    if "HTTPValidationError" in str(told.get("422")):
        del told["422"]  # FastAPI's own: ours are 400
    possible = {400, 404, 500, 503}
    if operation.get("security"):
        possible |= {401, 403, 429}
    for status in sorted(possible):
        answer = {
            "description": _MEANING.get(status, HTTPStatus(status).phrase),
            "content": PROBLEM_CONTENT,
        }
        if status in (429, 503):
            answer["headers"] = {
                "Retry-After": {"description": "In s", "schema": {"type": "integer"}}
            }
        told.setdefault(str(status), answer)
