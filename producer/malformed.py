"""Records that break the contract on purpose, one way for each reason of rejection.

``OVERSIZE`` apart they are as small as what they are made from. ``in_the_future`` is the year
2090: before ``LATEST_TS``, yet after any arrival.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import orjson

from encore.events import MAX_ID_LENGTH, MAX_RECORD_BYTES, Reason

Event = dict[str, Any]
_YEAR_2090_MS: Final = 3_786_912_000_000


def _changed(event: Event, **fields: object) -> bytes:
    return orjson.dumps({**event, **fields})


def _without(event: Event, name: str) -> bytes:
    return orjson.dumps({key: value for key, value in event.items() if key != name})


def _cut(event: Event) -> bytes:
    whole = orjson.dumps(event)
    return whole[: len(whole) * 2 // 3]


def _not_utf8(event: Event) -> bytes:
    return orjson.dumps(event).replace(b'"device":"', b'"device":"\xff\xfe')


# Reason, chance, and how a good event is spoiled.
_WAYS: Final[tuple[tuple[Reason, float, Callable[[Event], bytes]], ...]] = (
    (Reason.MALFORMED_JSON, 0.20, _cut),
    (Reason.WRONG_TYPE, 0.08, lambda event: _changed(event, event_ts="yesterday")),
    (Reason.WRONG_TYPE, 0.05, lambda event: _changed(event, schema_version=[1])),
    (Reason.MISSING, 0.08, lambda event: _without(event, "event_id")),
    (Reason.MISSING, 0.08, lambda event: _without(event, "user_id")),
    (Reason.MISSING, 0.06, lambda event: _without(event, "event_ts")),
    (Reason.OUT_OF_RANGE, 0.08,
     lambda event: _changed(event, event_ts=event["event_ts"] // 1000)),
    (Reason.OUT_OF_RANGE, 0.07, lambda event: _changed(event, ms_played=-5_000)),
    (Reason.NOT_ALLOWED, 0.08, lambda event: _changed(event, event_type="teleport")),
    (Reason.FORBIDDEN_CHARACTER, 0.06, lambda event: _changed(event, session_id="s\x001")),
    (Reason.TOO_LONG, 0.04, lambda event: _changed(event, device="x" * (MAX_ID_LENGTH + 1))),
    (Reason.IN_THE_FUTURE, 0.04, lambda event: _changed(event, event_ts=_YEAR_2090_MS)),
    (Reason.INVALID_UTF8, 0.04, _not_utf8),
    (Reason.EMPTY, 0.03, lambda _event: b""),
    (Reason.TOO_LARGE, 0.01, lambda event: _changed(event, note="x" * MAX_RECORD_BYTES)),
)  # fmt: skip
_CHANCES: Final = np.array([chance for _, chance, _ in _WAYS])


def spoil(
    good: list[bytes], ids: list[str], rng: np.random.Generator
) -> list[tuple[Reason, bytes]]:
    """Return a spoiled copy of each good event, under an id of its own, and what is wrong."""
    ways = rng.choice(len(_WAYS), len(good), p=_CHANCES / _CHANCES.sum()).tolist()
    spoiled = []
    for value, event_id, way in zip(good, ids, ways, strict=True):
        reason, _, change = _WAYS[way]
        spoiled.append((reason, change({**orjson.loads(value), "event_id": event_id})))
    return spoiled
