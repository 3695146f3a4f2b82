"""Impressions as events: one for each item that a listener was shown."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from encore.events import SCHEMA_VERSION

_REQUESTS: Final = uuid.UUID("5b0f3c1e-6f0a-5d0e-9a52-2f4f8b7c9d10")


@dataclass(frozen=True, slots=True)
class Shown:
    """An item in the list that a listener was shown; ``position`` counts from 1."""

    item_id: str
    position: int
    source: str
    model_run_id: int | None


def impression_events(
    user_id: str,
    shown: Sequence[Shown],
    now_ms: int,
    *,
    variant: str | None = None,
    request_id: str | None = None,
) -> list[bytes]:
    """Return an event for each item, happening now.

    With a ``request_id`` the ids of the events follow from it, so that the same request sent again
    is the same events.
    """
    said = {
        "schema_version": SCHEMA_VERSION,
        "event_type": "impression",
        "event_ts": now_ms,
        "produced_ts": now_ms,
        "user_id": user_id,
    }
    if variant:
        said["variant"] = variant
    return [
        orjson.dumps({"event_id": _event_id(user_id, request_id, number), **said, **_of(one)})
        for number, one in enumerate(shown)
    ]


def _event_id(user_id: str, request_id: str | None, number: int) -> str:
    if request_id is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(_REQUESTS, f"{user_id}\0{request_id}\0{number}"))


def _of(one: Shown) -> dict[str, object]:
    told = {"item_id": one.item_id, "position": one.position, "source": one.source}
    return told if one.model_run_id is None else {**told, "model_run_id": one.model_run_id}
