"""When people listen: the rhythm of the day and of the week, in their own time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from producer.arrays import Doubles, Ints
from producer.places import CITIES

HOUR_MS = 3_600_000
WEEK_HOURS = 168

# Relative inclination to begin a session, by local hour: commute, afternoon, evening peak.
_WEEKDAY = (
    0.35, 0.20, 0.12, 0.10, 0.12, 0.30, 0.75, 1.30, 1.45, 1.05, 0.90, 0.95,
    1.10, 1.05, 1.00, 1.10, 1.30, 1.60, 1.70, 1.75, 1.80, 1.65, 1.20, 0.70,
)  # fmt: skip
_WEEKEND = (
    0.70, 0.50, 0.35, 0.22, 0.15, 0.15, 0.25, 0.45, 0.75, 1.05, 1.25, 1.35,
    1.35, 1.30, 1.30, 1.30, 1.30, 1.30, 1.35, 1.45, 1.50, 1.45, 1.30, 1.00,
)  # fmt: skip
_WEEKEND_DAMPING = 0.9


def weekly_weights() -> Doubles:
    """Return the inclination for each of the 168 local hours from Monday 00:00, mean 1."""
    weekend = [_WEEKEND_DAMPING * weight for weight in _WEEKEND]
    weights = np.array([*_WEEKDAY * 5, *weekend * 2], dtype=np.float64)
    return np.asarray(weights / weights.mean())


_WEIGHTS = weekly_weights()


def local_hour_of_week(time_zone: str, moment_ms: int) -> int:
    """Return 0 for Monday 00:00 to 167 for Sunday 23:00 in the time zone."""
    local = datetime.fromtimestamp(moment_ms / 1000, UTC).astimezone(ZoneInfo(time_zone))
    return local.weekday() * 24 + local.hour


def city_inclination(moments_ms: Ints) -> Doubles:
    """Return the inclination in each city at each moment, shape (cities, moments)."""
    zones = sorted({city.time_zone for city in CITIES})
    by_zone = {
        zone: _WEIGHTS[[local_hour_of_week(zone, int(moment)) for moment in moments_ms]]
        for zone in zones
    }
    return np.array([by_zone[city.time_zone] for city in CITIES])
