"""Routes of the calls that are made most: FastAPI documents them, and little stands before them."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

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
        kinds = self._kinds()

        async def answer(request: Request) -> Response:
            for need in needs:
                await need(request)
            response: Response = await endpoint(request, **_read(request.path_params, kinds))
            return response

        return answer

    def _kinds(self) -> dict[str, TypeAdapter[Any]]:
        named = get_type_hints(self.endpoint, include_extras=True)
        taken = list(inspect.signature(self.endpoint).parameters)
        if taken != ["request", *self.param_convertors]:
            raise TypeError(f"{self.path} must take request, then what its path names: {taken}")
        return {name: TypeAdapter(named[name]) for name in self.param_convertors}


def _read(given: dict[str, Any], kinds: dict[str, TypeAdapter[Any]]) -> dict[str, Any]:
    read, errors = {}, []
    for name, kind in kinds.items():
        try:
            read[name] = kind.validate_python(given[name])
        except ValidationError as error:
            found = error.errors(include_url=False)
            errors += [{**one, "loc": ("path", name, *one["loc"])} for one in found]
    if errors:
        raise RequestValidationError(errors)
    return read
