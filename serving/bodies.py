"""Bodies of requests: read up to a size, and taken apart into the records that they hold."""

from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import Request

from serving.problems import ProblemError, bad_request

JSON: Final = "application/json"
NDJSON: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")


async def read_body(request: Request, most: int) -> bytes:
    """Return the body of a request.

    Raises:
        ProblemError: it has more than ``most`` bytes; what comes behind them is not read.
    """
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise _too_large(most)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return b"".join(parts)


def records_of(body: bytes, content_type: str) -> list[bytes]:
    """Return the records of a body, as their bytes: one, an array of them, or one a line.

    Raises:
        ProblemError: the body is no JSON, holds no record, or is of another type.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media in NDJSON:
        found = [line for line in body.splitlines() if line.strip()]
    elif media in ("", JSON):
        found = _of_json(body)
    else:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {JSON}, or {NDJSON[0]} with a record a line"
        )
    if not found:
        raise bad_request("body", "holds no record")
    return found


def _of_json(body: bytes) -> list[bytes]:
    try:
        if body.lstrip()[:1] == b"[":
            return [bytes(one) for one in msgspec.json.decode(body, type=list[msgspec.Raw])]
        return [bytes(msgspec.json.decode(body, type=msgspec.Raw))]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise bad_request("body", "is no JSON") from None


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {most} bytes at most: send several"
    )
