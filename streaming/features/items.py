"""Features of items: activity by time, distinct listeners, trends."""

from datetime import timedelta

import numpy as np
import pyarrow as pa

from streaming.features.grouping import Groups, Integers, text_lists
from streaming.features.signal import LISTENING, Events
from streaming.features.times import FIVE_MINUTES_US, bucket, instants, microseconds


def item_counts(events: Events, width_us: int) -> pa.Table:
    """Count activity by item and bucket of event time."""
    on_items = events.at(events.on_items)
    groups = Groups(on_items.item.codes, bucket(on_items.at_us, width_us))
    return pa.table(
        {
            "item_id": on_items.item.texts(groups.key(0)),
            "bucket_start": instants(groups.key(1)),
            **{name: groups.sum(on_items.counts[name]) for name in LISTENING},
        }
    )


def item_listeners(events: Events) -> pa.Table:
    """List who played which item in which five minutes, each once."""
    plays = events.at(events.played & events.item.known)
    groups = Groups(plays.item.codes, bucket(plays.at_us, FIVE_MINUTES_US), plays.user.codes)
    lists = Groups(groups.key(0), groups.key(1))
    return pa.table(
        {
            "item_id": plays.item.texts(lists.key(0)),
            "bucket_start": instants(lists.key(1)),
            "user_ids": text_lists(plays.user.texts(groups.key(2)), lists.bounds),
        }
    )


def item_trends(events: Events, half_life: timedelta) -> pa.Table:
    """Sum decayed signals by item: everywhere (country '') and in the country of the event."""
    told = events.at(events.on_items & (events.signal != 0))
    here = told.at(~told.country.among(""))
    everywhere = _trends(told, np.zeros(len(told.at_us), np.int64), pa.array([""]), half_life)
    by_country = _trends(here, here.country.codes, here.country.names, half_life)
    return pa.concat_tables([everywhere, by_country])


def _trends(
    events: Events, country: Integers, countries: pa.Array, half_life: timedelta
) -> pa.Table:
    groups = Groups(country, events.item.codes)
    return pa.table(
        {
            "country": countries.take(pa.array(groups.key(0))),
            "item_id": events.item.texts(groups.key(1)),
            "score": groups.decayed_sum(events.signal, events.at_us, microseconds(half_life)),
            "as_of": instants(groups.greatest(events.at_us)),
        }
    )
