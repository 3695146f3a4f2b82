"""Routes that call their endpoint with the request alone, and are documented as any other."""

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import PlainTextResponse, Response

from serving.direct import Direct

Short = Annotated[str, Path(max_length=3, description="Who.")]


async def need_a_name(request: Request) -> None:
    """Refuse who does not say who they are."""
    if "name" not in request.headers:
        raise PermissionError


def app() -> FastAPI:
    """Return an application with one direct route that needs a header."""
    router = APIRouter(route_class=Direct, dependencies=[Depends(need_a_name)])

    @router.get("/greet/{whom}")
    async def greet(request: Request, whom: Short) -> Response:
        return PlainTextResponse(f"{request.headers['name']} greets {whom}")

    made = FastAPI()
    made.include_router(router, prefix="/v1")

    @made.exception_handler(PermissionError)
    def refuse(_: Request, __: Exception) -> Response:
        return PlainTextResponse("no", 401)

    @made.exception_handler(RequestValidationError)
    def wrong(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return PlainTextResponse(str([one["loc"] for one in error.errors()]), 400)

    return made


def ask(path: str, **headers: str) -> tuple[int, str]:
    """Return status and text of an answer."""

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app())
        async with httpx.AsyncClient(transport=transport, base_url="http://encore") as client:
            return await client.get(path, headers=headers)

    answer = asyncio.run(get())
    return answer.status_code, answer.text


def test_an_endpoint_gets_the_request_and_what_the_path_names() -> None:
    assert ask("/v1/greet/Ada", name="Bo") == (200, "Bo greets Ada")


def test_what_a_route_depends_on_is_asked_before_the_path_is_read() -> None:
    assert ask("/v1/greet/Grace") == (401, "no")


def test_a_part_of_the_path_that_is_not_as_declared_is_named() -> None:
    assert ask("/v1/greet/Grace", name="Bo") == (400, "[('path', 'whom')]")


def test_the_document_shows_what_the_path_names() -> None:
    (parameter,) = app().openapi()["paths"]["/v1/greet/{whom}"]["get"]["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("whom", "path", True)
    assert parameter["schema"]["maxLength"] == 3
    assert parameter["description"] == "Who."


def test_an_endpoint_that_takes_what_would_not_be_read_is_refused_at_the_start() -> None:
    router = APIRouter(route_class=Direct)

    async def greet(request: Request, whom: Short, loud: bool = False) -> Response:
        return PlainTextResponse(f"{request.method}{whom}{loud}")

    with pytest.raises(TypeError, match=r"/greet/\{whom\} must take request, then .*'loud'"):
        router.get("/greet/{whom}")(greet)
