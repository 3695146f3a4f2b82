"""An event of something that a user does right now."""

import time
import uuid
from typing import Any

from encore.events import SCHEMA_VERSION


def happening(
    event_type: str, user_id: str, item_id: str, event_id: str | None = None
) -> dict[str, Any]:
    """Return the event, with an id of its own unless one is given."""
    now_ms = round(time.time() * 1000)
    return {
        "event_id": event_id or str(uuid.uuid4()),
        "schema_version": SCHEMA_VERSION,
        "event_type": event_type,
        "event_ts": now_ms,
        "produced_ts": now_ms,
        "user_id": user_id,
        "item_id": item_id,
    }
