"""Parameters that several endpoints take, with the bounds that the API holds them to."""

from typing import Annotated, Final

from fastapi import Path, Query

from encore.events import MAX_ID_LENGTH

MOST: Final = 1000  # entries of an answer, and the depth to which a list can be paged
DEEPEST: Final = 100_000
_ID: Final = r"^[^\x00/]+$"
TEXT: Final = r"^[^\x00]+$"

UserId = Annotated[
    str,
    Path(
        description="Whose. An id that has a slash in it cannot be asked for by a path.",
        min_length=1,
        max_length=MAX_ID_LENGTH,
        pattern=_ID,
        examples=["u394"],
    ),
]
ItemId = Annotated[
    str,
    Path(
        description="Which item.",
        min_length=1,
        max_length=MAX_ID_LENGTH,
        pattern=_ID,
        examples=["t42"],
    ),
]
Count = Annotated[int, Query(description="How many.", ge=1, le=MOST)]
Offset = Annotated[int, Query(description="How many to leave out first.", ge=0, le=DEEPEST)]
Genre = Annotated[
    str | None,
    Query(description="Of this genre only.", min_length=1, max_length=MAX_ID_LENGTH, pattern=TEXT),
]
Country = Annotated[
    str | None,
    Query(
        description="Of this country only: ISO 3166-1 alpha-2, as events name it.",
        min_length=1,
        max_length=MAX_ID_LENGTH,
        pattern=TEXT,
    ),
]
