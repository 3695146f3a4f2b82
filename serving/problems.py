"""Errors as the API tells them: problem details (RFC 9457), with nothing internal in them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 1
# How the OpenAPI document shows the body of a problem.
PROBLEM_CONTENT: Final[dict[str, Any]] = {
    MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}
}


class ProblemError(Exception):
    """A request cannot be answered as asked. ``detail`` is for whoever sent it."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after: int | None = None,
    ) -> None:
        """Take the status, and what to say; ``retry_after`` is in s."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after


def away(what: str) -> ProblemError:
    """Return the problem that a part the answer needs is away."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{what}. Nothing is lost: send the request again.",
        retry_after=RETRY_SECONDS,
    )


def bad_request(field: str, message: str) -> ProblemError:
    """Return the problem that one field of a request is wrong."""
    return ProblemError(
        HTTPStatus.BAD_REQUEST,
        f"{field}: {message}",
        errors=[{"field": field, "message": message}],
    )


def not_found(what: str, identifier: str) -> ProblemError:
    """Return the problem that nobody knows of something."""
    return ProblemError(HTTPStatus.NOT_FOUND, f"there is no {what} {identifier!r}")


def response(problem: ProblemError) -> Response:
    """Return a problem as it goes over the wire."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = problem.errors
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="encore"'
    return Response(orjson.dumps(body), problem.status.value, headers, MEDIA_TYPE)


def of_problem(_: Request, error: ProblemError) -> Response:
    """Answer a problem that a route raised."""
    return response(error)


def of_validation(_: Request, error: RequestValidationError) -> Response:
    """Answer a request whose parameters are not as declared: 400, every field named."""
    errors = [
        {"field": ".".join(str(part) for part in one["loc"][1:]), "message": one["msg"]}
        for one in error.errors()
    ]
    said = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    return response(ProblemError(HTTPStatus.BAD_REQUEST, said, errors=errors))


def of_http(request: Request, error: HTTPException) -> Response:
    """Answer what the router itself refuses: unknown paths, methods that a path does not have."""
    status = HTTPStatus(error.status_code)
    told = response(ProblemError(status, status.description or status.phrase))
    for name, value in (error.headers or {}).items():
        told.headers[name] = value
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        # The router names the methods of one of the path's routes, whichever comes first.
        methods = _methods(request)
        if methods:
            told.headers["Allow"] = ", ".join(methods)
    return told


def _methods(request: Request) -> list[str]:
    document: Mapping[str, Mapping[str, Any]] = request.app.openapi()["paths"]
    return [
        method.upper()
        for path, operations in document.items()
        if compile_path(path)[0].match(request.url.path)
        for method in operations
    ]
