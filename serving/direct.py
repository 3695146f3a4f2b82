"""Routes of the calls that are made most: FastAPI documents them, and little stands before them."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, create_model
from starlette.responses import Response

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
            path = validated(named, request.path_params, "path")
            response: Response = await endpoint(request, **dict(path))
            return response

        return answer

    def _named(self) -> type[BaseModel]:
        """Return a model of what the path names."""
        hints = get_type_hints(self.endpoint, include_extras=True)
        taken = list(inspect.signature(self.endpoint).parameters)
        if taken != ["request", *self.param_convertors]:
            raise TypeError(f"{self.path} must take request, then what its path names: {taken}")
        fields: dict[str, Any] = {name: (hints[name], ...) for name in self.param_convertors}
        return create_model("Path", **fields)
