"""Routes of the calls that are made most: FastAPI documents them, and little stands before them."""

import inspect
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, create_model
from starlette.responses import Response
from starlette.routing import BaseRoute, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.problems import ProblemError
from serving.queries import validated

_Needs = Callable[[Request], Awaitable[object]]


class Direct(APIRoute):
    """A route whose endpoint takes the request and what its path names, and no more.

    What a query holds it reads by :func:`serving.queries.read_query`. Its dependencies take the
    request alone. So nothing has to be solved for a request, which takes FastAPI as long as finding
    a page and answering with it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request.

        Raises:
            TypeError: the endpoint takes what would not be read.
        """
        endpoint = self.endpoint
        needs: list[_Needs] = [one.dependency for one in self.dependencies if one.dependency]
        named = self._named()

        async def answer(request: Request) -> Response:
            for need in needs:
                await need(request)
            path = dict(validated(named, request.path_params, "path")) if named else {}
            response: Response = await endpoint(request, **path)
            return response

        return answer

    def _named(self) -> type[BaseModel] | None:
        """Return a model of what the path names, if it names anything."""
        hints = get_type_hints(self.endpoint, include_extras=True)
        taken = list(inspect.signature(self.endpoint).parameters)
        if taken != ["request", *self.param_convertors]:
            raise TypeError(f"{self.path} must take request, then what its path names: {taken}")
        if not self.param_convertors:
            return None
        fields: dict[str, Any] = {name: (hints[name], ...) for name in self.param_convertors}
        return create_model("Path", **fields)


class Shortcut:
    """Answers direct routes before the application looks for a route among all of its own.

    It takes FastAPI as long to come to an endpoint as the endpoint takes to answer. What no direct
    route is for goes on inside.
    """

    def __init__(self, app: ASGIApp, prefix: str, routes: Iterable[BaseRoute]) -> None:
        """Take what is inside and the routes, of which others than direct ones are left to it."""
        self._app = app
        self._word_at = prefix.count("/") + 1
        self._ways: defaultdict[tuple[str, str], list[_Way]] = defaultdict(list)
        for route in routes:
            if isinstance(route, Direct):
                path = prefix + route.path
                for method in route.methods or ():
                    self._ways[method, self._word(path)].append(_Way(route, path))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            path: str = scope["path"]
            for way in self._ways.get((scope["method"], self._word(path)), ()):
                named = way.named(path)
                if named is not None:
                    scope["route"], scope["path_params"] = way.route, named
                    response = await _answered(way.answer, Request(scope, receive, send))
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _word(self, path: str) -> str:
        """Return the word behind the prefix."""
        words = path.split("/", self._word_at + 1)
        return words[self._word_at] if len(words) > self._word_at else ""


class _Way:
    """A direct route, and what its whole path is like."""

    def __init__(self, route: Direct, path: str) -> None:
        self.route = route
        self.answer = route.get_route_handler()
        self._pattern, _, self._convertors = compile_path(path)

    def named(self, path: str) -> dict[str, Any] | None:
        """Return what a path names, or None if it is another one."""
        found = self._pattern.match(path)
        if found is None:
            return None
        return {
            name: self._convertors[name].convert(text) for name, text in found.groupdict().items()
        }


async def _answered(answer: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    try:
        return await answer(request)
    except (ProblemError, RequestValidationError) as error:
        told: Response = request.app.exception_handlers[type(error)](request, error)
        return told
