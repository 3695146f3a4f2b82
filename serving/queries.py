"""Parameters of a query, read all at once: FastAPI's own reading takes as long as the answer.

A model of Pydantic names them; :func:`shown_in_query` tells the OpenAPI document of it.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_origin

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

_IN: Final = "query"

Query = TypeVar("Query", bound=BaseModel)


def read_query(request: Request, kind: type[Query]) -> Query:
    """Return what a request asks for; of a parameter that is given again the last one counts.

    Raises:
        RequestValidationError: a parameter is not as declared.
    """
    given = request.query_params
    values: dict[str, Any] = dict(given)
    for name in _lists(kind):
        if name in values:
            values[name] = given.getlist(name)
    return validated(kind, values, _IN)


def validated(kind: type[Query], values: Mapping[str, Any], place: str) -> Query:
    """Return what stands in a place of a request, as a model of it declares.

    Raises:
        RequestValidationError: something is not as declared.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise RequestValidationError(
            [{**one, "loc": (place, *one["loc"])} for one in found]
        ) from None


def shown_in_query(kind: type[BaseModel]) -> dict[str, Any]:
    """Return how OpenAPI shows the parameters of a model."""
    schema = kind.model_json_schema()
    required = schema.get("required", ())
    return {
        "parameters": [
            {
                "name": name,
                "in": _IN,
                "required": name in required,
                "schema": one,
                "description": one["description"],
            }
            for name, one in schema["properties"].items()
        ]
    }


@cache
def _lists(kind: type[BaseModel]) -> frozenset[str]:
    """Return the parameters that may be given again, each time with another value."""
    return frozenset(
        name
        for name, field in kind.model_fields.items()
        if list in {get_origin(one) for one in (field.annotation, *get_args(field.annotation))}
    )
