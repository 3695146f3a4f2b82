"""Features of users: activity by day, affinity to items, sessions."""

from datetime import timedelta

import numpy as np
import pyarrow as pa

from streaming.features.grouping import Groups
from streaming.features.signal import LISTENING, Events
from streaming.features.times import DAY_US, bucket, dates, instants, microseconds

_NEVER = np.iinfo(np.int64).min
_OF_SESSIONS = ("plays", "completes", "skips", "ms_played")


def user_counts_day(events: Events) -> pa.Table:
    """Count activity by user and day (UTC)."""
    groups = Groups(events.user.codes, bucket(events.at_us, DAY_US))
    return pa.table(
        {
            "user_id": events.user.texts(groups.key(0)),
            "day": dates(groups.key(1)),
            "events": groups.sizes,
            **{name: groups.sum(events.counts[name]) for name in LISTENING},
            "first_at": instants(groups.least(events.at_us)),
            "last_at": instants(groups.greatest(events.at_us)),
        }
    )


def user_item_affinity(events: Events, half_life: timedelta) -> pa.Table:
    """Sum what a user gave an item: the decayed signal and the counts behind it."""
    acts = events.at(events.on_items)
    groups = Groups(acts.user.codes, acts.item.codes)
    return pa.table(
        {
            "user_id": acts.user.texts(groups.key(0)),
            "item_id": acts.item.texts(groups.key(1)),
            "signal": groups.decayed_sum(acts.signal, acts.at_us, microseconds(half_life)),
            **{name: groups.sum(acts.counts[name]) for name in LISTENING},
            "first_at": instants(groups.least(acts.at_us)),
            "last_at": instants(groups.greatest(acts.at_us)),
        }
    )


def session_counts(events: Events) -> pa.Table:
    """Count what happened in each session, from its first to its last event so far."""
    visits = events.at(events.session.known)
    groups = Groups(visits.user.codes, visits.session.codes)
    logout = np.where(visits.kind.among("logout"), visits.at_us, _NEVER)
    logged_out = groups.greatest(logout)
    return pa.table(
        {
            "user_id": visits.user.texts(groups.key(0)),
            "session_id": visits.session.texts(groups.key(1)),
            "events": groups.sizes,
            **{name: groups.sum(visits.counts[name]) for name in _OF_SESSIONS},
            "started_at": instants(groups.least(visits.at_us)),
            "last_event_at": instants(groups.greatest(visits.at_us)),
            "logged_out_at": instants(logged_out, logged_out != _NEVER),
        }
    )
