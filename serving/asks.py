"""Bodies of requests that ask by the model: what they may hold, and how they are read."""

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request

from encore.events import MAX_ID_LENGTH, Reason
from serving.acts import Act
from serving.bodies import JSON, read_body
from serving.parameters import MOST, TEXT
from serving.parts import parts_of
from serving.problems import PROBLEM_CONTENT, ProblemError, bad_request

BODY_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    413: {
        "description": "The body is larger than SERVE_MAX_REQUEST_BYTES",
        "content": PROBLEM_CONTENT,
    },
    422: {"description": "The body is not what this takes", "content": PROBLEM_CONTENT},
}
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=TEXT)]


class _Ask(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Weighted(_Ask):
    """An item that somebody likes, and how much."""

    item_id: Id
    weight: float = Field(
        1.0, gt=0, le=1000, description="In complete plays: 1 is one", allow_inf_nan=False
    )


class SessionAsk(_Ask):
    """An anonymous listener, known by what they did."""

    items: list[Weighted] = Field(
        min_length=1,
        max_length=MOST,
        description="What they like. Of an item that is given twice the weights add up.",
        examples=[[{"item_id": "t42", "weight": 2.0}, {"item_id": "t7"}]],
    )
    n: int = Field(10, ge=1, le=MOST, description="How many")
    exclude: list[Id] = Field([], max_length=MOST, description="Items to leave out")
    max_per_artist: int = Field(0, ge=0, le=MOST, description="0: as the settings say")
    max_per_genre: int = Field(0, ge=0, le=MOST, description="0: as the settings say")


class GroupAsk(_Ask):
    """Listeners who want to hear something together."""

    users: list[Id] = Field(min_length=1, max_length=50, examples=[["u394", "u7"]])
    n: int = Field(10, ge=1, le=MOST, description="How many")
    exclude: list[Id] = Field([], max_length=MOST, description="Items to leave out")
    exclude_known: bool = Field(True, description="Whether what one of them knows is left out")
    strategy: Literal["average", "least_misery"] = Field(
        "average",
        description="What counts for an item: the mean of their predicted preferences, or the "
        "least of them",
    )


class ShownItem(_Ask):
    """An item that was shown, and its place in the list."""

    item_id: Id
    position: int = Field(ge=1, le=10_000, description="Place in the list, 1 is the first")
    source: Id = Field(description="What put it there: `source` of the recommendation")
    model_run_id: int | None = Field(
        None, ge=1, le=2**53, description="`model_run_id` of the recommendation"
    )


class ImpressionsAsk(_Ask):
    """What a listener was shown."""

    user_id: Id = Field(examples=["u394"])
    impressions: list[ShownItem] = Field(
        min_length=1,
        max_length=MOST,
        examples=[[{"item_id": "t42", "position": 1, "source": "personal", "model_run_id": 7}]],
    )
    variant: Id | None = Field(None, description="`variant` of the answer that they were in")
    request_id: Id | None = Field(
        None,
        description="A name of the caller's own for this request, to be able to send it again: it "
        "counts once.",
    )


class TraceAsk(_Ask):
    """What a listener does to an item now."""

    user_id: Id = Field(examples=["u394"])
    item_id: Id = Field(examples=["t42"])
    act: Act = Field(
        "like", description="`play` is to the end, `skip` after a moment; the rest are event types"
    )


class ReplayAsk(_Ask):
    """Which rejected records to send again: those at places, or all that fit what is given."""

    places: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}/\d{1,10}/\d{1,19}$")]] = (
        Field(
            [],
            max_length=MOST,
            examples=[["music.events/2/1042"]],
            description="These and no others",
        )
    )
    reason: Reason | None = Field(None, description="All with this reason")
    field: Id | None = Field(None, description="All about this field")
    topic: Id | None = Field(None, description="All of this topic")
    limit: int = Field(MOST, ge=1, le=10_000, description="At most so many, in order of place")
    values: dict[str, Any] = Field(
        {}, alias="set", description="Fields to set first", examples=[{"level": "free"}]
    )
    drop: list[Id] = Field([], max_length=100, description="Fields to leave out")
    dry_run: bool = Field(False, description="Send nothing; say how many would be sent")

    @model_validator(mode="after")
    def _says_which(self) -> "ReplayAsk":
        chosen = any((self.reason, self.field, self.topic))
        if chosen == bool(self.places):
            raise ValueError("say which: either places, or a reason, field or topic")
        return self


Ask = TypeVar("Ask", bound=_Ask)


async def read(request: Request, kind: type[Ask]) -> Ask:
    """Return the body of a request.

    Raises:
        ProblemError: it is too large (413), no JSON (400), or not what is asked for (422).
    """
    body = await read_body(request, parts_of(request).settings.serve_max_request_bytes)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False)
    if any(one["type"] == "json_invalid" for one in found):
        raise bad_request("body", "is no JSON")
    raise ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "the body is not what this takes",
        errors=[
            {"field": ".".join(map(str, one["loc"])) or None, "message": one["msg"]}
            for one in found
        ],
    )


def shown(kind: type[_Ask]) -> dict[str, Any]:
    """Return how OpenAPI shows a body; :func:`schemas` has what it refers to."""
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def schemas() -> dict[str, Any]:
    """Return the schemas of the bodies by name, for the OpenAPI document."""
    found: dict[str, Any] = {}
    for kind in (SessionAsk, GroupAsk, ImpressionsAsk, TraceAsk, ReplayAsk):
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {}) | {kind.__name__: schema}
    return found
