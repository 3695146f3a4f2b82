"""Event time, in microseconds since 1970, as buckets and as columns of PostgreSQL's types."""

from datetime import timedelta

import numpy as np
import pyarrow as pa

from streaming.features.grouping import Integers

MINUTE_US = 60_000_000
FIVE_MINUTES_US = 5 * MINUTE_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


def bucket(at_us: Integers, width_us: int) -> Integers:
    """Return the start of the bucket that holds each moment; days are those of UTC."""
    return at_us - np.mod(at_us, width_us)


def microseconds(span: timedelta) -> float:
    """Return a span in microseconds."""
    return span / timedelta(microseconds=1)


def instants(at_us: Integers, known: np.ndarray | None = None) -> pa.Array:
    """Return moments as timestamps with time zone, NULL where not ``known``."""
    mask = None if known is None else ~known
    return pa.array(at_us, pa.int64(), mask=mask).cast(pa.timestamp("us", tz="UTC"))


def dates(at_us: Integers) -> pa.Array:
    """Return the days (UTC) of moments."""
    return pa.array((at_us // DAY_US).astype(np.int32), pa.int32()).cast(pa.date32())
