"""Features of the platform as a whole, by minute of event time."""

import pyarrow as pa

from streaming.features.grouping import Groups, text_lists
from streaming.features.signal import Events
from streaming.features.times import MINUTE_US, bucket, instants


def platform_activity_minute(events: Events) -> pa.Table:
    """Count events by minute, type, country, device and level; empty where not given."""
    dimensions = {
        "event_type": events.kind,
        "country": events.country,
        "device": events.device,
        "level": events.level,
    }
    groups = Groups(bucket(events.at_us, MINUTE_US), *(one.codes for one in dimensions.values()))
    return pa.table(
        {
            "minute": instants(groups.key(0)),
            **{
                name: one.texts(groups.key(number))
                for number, (name, one) in enumerate(dimensions.items(), start=1)
            },
            "events": groups.sizes,
        }
    )


def minute_users(events: Events) -> pa.Table:
    """List who was active in which minute, each once."""
    groups = Groups(bucket(events.at_us, MINUTE_US), events.user.codes)
    minutes = Groups(groups.key(0))
    return pa.table(
        {
            "minute": instants(minutes.key()),
            "user_ids": text_lists(events.user.texts(groups.key(1)), minutes.bounds),
        }
    )
