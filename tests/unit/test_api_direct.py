"""Routes that call their endpoint with the request alone, and are documented as any other."""

import asyncio
import json
from http import HTTPStatus
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import PlainTextResponse, Response

from serving.direct import Direct, Shortcut
from serving.problems import ProblemError, of_problem, of_validation

Short = Annotated[str, Path(max_length=3, description="Who.")]


async def need_a_name(request: Request) -> None:
    """Refuse who does not say who they are."""
    if "name" not in request.headers:
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "who are you?")


def app(*, shortcut: bool) -> FastAPI:
    """Return an application with direct routes that need a header, and one as any other."""
    router = APIRouter(route_class=Direct, dependencies=[Depends(need_a_name)])

    @router.get("/greet/{whom}")
    async def greet(request: Request, whom: Short) -> Response:
        return PlainTextResponse(f"{request.headers['name']} greets {whom}")

    @router.get("/greet/{whom}/{number}")
    async def greet_often(request: Request, whom: Short, number: int) -> Response:
        return PlainTextResponse(" ".join([f"{request.headers['name']} greets {whom}"] * number))

    @router.post("/greetings")
    async def write(request: Request) -> Response:
        return PlainTextResponse(f"{request.headers['name']} writes", 202)

    plain = APIRouter()

    @plain.get("/greetings")
    async def read() -> Response:
        return PlainTextResponse("none yet")

    made = FastAPI()
    made.include_router(router, prefix="/v1")
    made.include_router(plain, prefix="/v1")
    made.exception_handler(ProblemError)(of_problem)
    made.exception_handler(RequestValidationError)(of_validation)
    if shortcut:
        made.add_middleware(Shortcut, prefix="/v1", routes=[*router.routes, *plain.routes])
    return made


def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Return status and text of an answer, the same with the shortcut and without."""

    async def get(application: FastAPI) -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://encore") as client:
            return await client.request(method, path, headers=headers)

    told, on_the_long_way = (asyncio.run(get(app(shortcut=one))) for one in (True, False))
    assert (told.status_code, told.headers, told.content) == (
        on_the_long_way.status_code,
        on_the_long_way.headers,
        on_the_long_way.content,
    )
    return told.status_code, told.text


def test_an_endpoint_gets_the_request_and_what_the_path_names() -> None:
    assert ask("/v1/greet/Ada", name="Bo") == (200, "Bo greets Ada")
    assert ask("/v1/greet/Ada/2", name="Bo") == (200, "Bo greets Ada Bo greets Ada")
    assert ask("/v1/greetings", "POST", name="Bo") == (202, "Bo writes")


def test_what_a_route_depends_on_is_asked_before_the_path_is_read() -> None:
    status, told = ask("/v1/greet/Grace")
    assert (status, json.loads(told)["detail"]) == (401, "who are you?")


def test_a_part_of_the_path_that_is_not_as_declared_is_named() -> None:
    status, told = ask("/v1/greet/Grace/often", name="Bo")
    assert status == 400
    assert [one["field"] for one in json.loads(told)["errors"]] == ["whom", "number"]


def test_what_no_direct_route_is_for_is_left_to_the_application() -> None:
    assert ask("/v1/greetings") == (200, "none yet")
    assert ask("/v1/greetings/")[0] == 307
    assert ask("/v1/greet/Ada", "DELETE", name="Bo")[0] == 405
    assert ask("/v1/greet", name="Bo")[0] == 404
    assert ask("/v1", name="Bo")[0] == 404
    assert ask("/greet/Ada", name="Bo")[0] == 404


def test_the_document_shows_what_the_path_names() -> None:
    (parameter,) = app(shortcut=True).openapi()["paths"]["/v1/greet/{whom}"]["get"]["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("whom", "path", True)
    assert parameter["schema"]["maxLength"] == 3
    assert parameter["description"] == "Who."


def test_an_endpoint_that_takes_what_would_not_be_read_is_refused_at_the_start() -> None:
    router = APIRouter(route_class=Direct)

    async def greet(request: Request, whom: Short, loud: bool = False) -> Response:
        return PlainTextResponse(f"{request.method}{whom}{loud}")

    with pytest.raises(TypeError, match=r"/greet/\{whom\} must take request, then .*'loud'"):
        router.get("/greet/{whom}")(greet)
