"""Parameters of a query, read by a model."""

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.requests import Request

from serving.queries import read_query, shown_in_query


class Asked(BaseModel):
    n: int = Field(10, ge=1, description="How many.")
    without: list[str] | None = Field(None, description="Not these.")
    place: str = Field(description="Where.")


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


def test_what_is_not_given_is_as_declared() -> None:
    assert read_query(request("place=here"), Asked) == Asked(n=10, without=None, place="here")


def test_a_list_is_given_by_giving_its_parameter_again_of_others_the_last_counts() -> None:
    found = read_query(request("without=a&n=3&without=b%20c&n=4&place=x&unheard=of"), Asked)
    assert found == Asked(n=4, without=["a", "b c"], place="x")


def test_every_wrong_parameter_is_named_at_once() -> None:
    with pytest.raises(RequestValidationError) as raised:
        read_query(request("n=0&without=a"), Asked)
    assert [one["loc"] for one in raised.value.errors()] == [("query", "n"), ("query", "place")]


def test_openapi_says_what_is_required_and_what_bounds_there_are() -> None:
    assert shown_in_query(Asked)["parameters"] == [
        {
            "name": "n",
            "in": "query",
            "required": False,
            "description": "How many.",
            "schema": {
                "type": "integer",
                "minimum": 1,
                "default": 10,
                "title": "N",
                "description": "How many.",
            },
        },
        {
            "name": "without",
            "in": "query",
            "required": False,
            "description": "Not these.",
            "schema": {
                "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                "default": None,
                "title": "Without",
                "description": "Not these.",
            },
        },
        {
            "name": "place",
            "in": "query",
            "required": True,
            "description": "Where.",
            "schema": {"type": "string", "title": "Place", "description": "Where."},
        },
    ]
