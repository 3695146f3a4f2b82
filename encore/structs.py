"""The contract as msgspec decodes it: structs whose types carry the bounds of each field.

It is the fast way, as nearly every record keeps the contract. It knows nothing of text given as
another JSON type, and names no reason: what fails here goes to :mod:`encore.judge`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from encore.events import Field, Kind
from encore.judge import INT64_MAX, INT64_MIN

NUL: Final = b"\\u0000"  # msgspec lets it pass, PostgreSQL's text does not
# A RecursionError is JSON nested deeper than any record is.
DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError)


def struct_of(fields: Sequence[Field]) -> type[msgspec.Struct]:
    """Return a struct with the fields, the required ones first, others None where not given."""
    declared = [(field.name, _type(field) | None, None) for field in fields]
    required = [(field.name, _type(field)) for field in fields if field.required]
    names = {name for name, _ in required}
    return msgspec.defstruct(
        "Record",
        [*required, *(one for one in declared if one[0] not in names)],
        gc=False,
        kw_only=True,
    )


def is_utf8(value: bytes) -> bool:
    """Tell whether bytes are text. msgspec does not look into what it skips."""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _type(field: Field) -> Any:
    """Return the type of a field with its bounds, as msgspec checks them."""
    if field.kind is Kind.INTEGER:
        least, most = field.minimum, field.maximum
        return Annotated[
            int,
            msgspec.Meta(
                ge=INT64_MIN if least is None else int(least),
                le=INT64_MAX if most is None else int(most),
            ),
        ]
    if field.kind is Kind.NUMBER:
        return Annotated[float, msgspec.Meta(ge=field.minimum, le=field.maximum)]
    if field.choices:
        return Literal[field.choices]
    text = Annotated[
        str, msgspec.Meta(min_length=int(field.required), max_length=field.max_length,
                          pattern=field.pattern)
    ]  # fmt: skip
    return list[text] if field.kind is Kind.TEXTS else text
