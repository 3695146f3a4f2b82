"""How many requests a caller may make: a bucket of tokens for each, refilled with time."""

from collections import OrderedDict
from typing import Final

_MOST_CALLERS: Final = 10_000


class Limiter:
    """Lets each caller make ``rate`` requests a second, and as many at once after a pause.

    It forgets who has not called for longest, so that callers cannot fill its memory.
    """

    def __init__(self, rate: int) -> None:
        """Take the rate; 0 lets everything pass."""
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, caller: str, now: float) -> float:
        """Count a request at a moment in s; return 0 if it may pass, else how long to wait."""
        if not self._rate:
            return 0.0
        tokens, since = self._buckets.pop(caller, (float(self._rate), now))
        tokens = min(float(self._rate), tokens + (now - since) * self._rate)
        passes = tokens >= 1
        self._buckets[caller] = (tokens - 1 if passes else tokens, now)
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1 - tokens) / self._rate
