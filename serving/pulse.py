"""How the platform does: what comes in, what is counted, what waits, who listens where.

PostgreSQL says what was counted since the beginning. What came in and how much waited is Kafka's to
say, of this moment only: it is remembered while somebody watches.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson

from serving.broadcast import Broadcast
from serving.ends import Ends, LogEnds
from serving.reader import Reader, plain

LISTENER_MINUTES: Final = 5
COUNTRY_MINUTES: Final = 15
RATE_SECONDS: Final = 10
_FRESH_SECONDS: Final = 0.9
_SLOW_SECONDS: Final = 5.0
_KEPT_SAMPLES: Final = 6 * 3_600

_FLOW: Final = """
SELECT partition, first_offset, next_offset, accepted, late, duplicate, rejected,
       extract(epoch FROM clock_timestamp() - arrived_at)::float8 AS age,
       extract(epoch FROM clock_timestamp() - updated_at)::float8 AS since_commit
  FROM stream_offsets WHERE topic = $1 AND closed_at IS NULL ORDER BY partition
"""
_BATCHES: Final = """
SELECT batch, committed_at, read, accepted, late, duplicate, rejected, phases::text AS phases
  FROM ingest_audit WHERE topic = $1 ORDER BY batch DESC LIMIT 20
"""
_LATELY: Final = """
SELECT coalesce(sum(read) FILTER (WHERE committed_at > now() - $2 * interval '1 second'), 0)::bigint
         AS read,
       coalesce(sum(rejected), 0)::bigint AS rejected
  FROM ingest_audit WHERE topic = $1 AND committed_at > now() - interval '15 minutes'
"""
_AUDIENCE: Final = """
SELECT (SELECT count(DISTINCT active) FROM minute_users AS m CROSS JOIN unnest(m.user_ids) AS active
         WHERE m.minute > now() - $1 * interval '1 minute') AS active,
       (SELECT count(*) FROM sessions WHERE open AND last_event_at > now()
         - feature_setting('feature_session_timeout_minutes') * interval '1 minute') AS sessions
"""
_COUNTRIES: Final = """
SELECT country, sum(events)::bigint AS events,
       coalesce(sum(events) FILTER (WHERE event_type = 'listen'), 0)::bigint AS plays
  FROM platform_activity_minute WHERE minute > now() - $1 * interval '1 minute'
 GROUP BY country ORDER BY events DESC, country LIMIT 50
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at a moment, in s since 1970; a rate in events/s, an age in s."""

    at: float
    arriving: float | None
    lag: int | None
    age: float | None


class Pulse:
    """Feels the platform's pulse at most once a second, however many want to know."""

    def __init__(self, reader: Reader, kafka: str, topic: str) -> None:
        """Take where to look."""
        self._reader = reader
        self._topic = topic
        self._ends = LogEnds(kafka, topic)
        self._looking = asyncio.Lock()
        self._arrived: deque[tuple[float, int]] = deque()
        self._seen: dict[str, Any] = {}
        self._until = 0.0
        self._slow: dict[str, Any] = {}
        self._slow_until = 0.0
        self.broadcast = Broadcast(self.look)
        self.samples: deque[Sample] = deque(maxlen=_KEPT_SAMPLES)

    async def look(self) -> dict[str, Any]:
        """Return how the platform does.

        Raises:
            ProblemError: PostgreSQL is away.
        """
        async with self._looking:
            if time.monotonic() >= self._until:
                self._seen = await self._look()
                self._until = time.monotonic() + _FRESH_SECONDS
            return self._seen

    async def close(self) -> None:
        """Let everybody go who watches, and close what is open."""
        await self.broadcast.end()
        await self._ends.close()

    async def _look(self) -> dict[str, Any]:
        rows = self._reader.rows
        # The counted offsets first: Kafka's ends can only have grown meanwhile.
        flow = await rows(_FLOW, self._topic)
        ends = await self._ends.read()
        (lately,) = await rows(_LATELY, self._topic, RATE_SECONDS)
        batches = [_batch(row) for row in await rows(_BATCHES, self._topic)]
        arriving, lag, age = self._arriving(ends), _lag(flow, ends), _least(flow, "age")
        at = time.time()
        self.samples.append(Sample(at, arriving, lag, age))
        return {
            "at": at,
            "arriving_per_second": arriving,
            "committed_per_second": lately["read"] / RATE_SECONDS,
            "lag": lag,
            "newest_seconds": age,
            "since_commit_seconds": _least(flow, "since_commit"),
            "produced": None if ends is None else _total(flow, ends),
            **{
                name: sum(row[name] for row in flow)
                for name in ("accepted", "late", "duplicate", "rejected")
            },
            "rejected_lately": lately["rejected"],
            "batches": batches,
            **await self._audience(),
        }

    def _arriving(self, ends: Ends | None) -> float | None:
        """Return events/s into Kafka over the last seconds, None where that cannot be told yet."""
        now = time.monotonic()
        while self._arrived and now - self._arrived[0][0] > RATE_SECONDS:
            self._arrived.popleft()
        if ends is None:
            return None
        self._arrived.append((now, sum(ends.values())))
        (since, before), (until, total) = self._arrived[0], self._arrived[-1]
        return max(total - before, 0) / (until - since) if until > since else None

    async def _audience(self) -> dict[str, Any]:
        """Return who listens: what costs more, and changes less, than the rest."""
        now = time.monotonic()
        if now >= self._slow_until:
            (found,) = await self._reader.rows(_AUDIENCE, LISTENER_MINUTES)
            countries = await self._reader.rows(_COUNTRIES, COUNTRY_MINUTES)
            self._slow = {
                "active_listeners": found["active"],
                "open_sessions": found["sessions"],
                "countries": plain(countries),
            }
            self._slow_until = now + _SLOW_SECONDS
        return self._slow


def _lag(flow: Sequence[asyncpg.Record], ends: Ends | None) -> int | None:
    if ends is None:
        return None
    counted = {row["partition"]: row["next_offset"] for row in flow}
    waiting = (max(end - counted.get(partition, 0), 0) for partition, end in ends.items())
    return int(sum(waiting))


def _total(flow: Sequence[asyncpg.Record], ends: Ends) -> int:
    return sum(ends.values()) - int(sum(row["first_offset"] for row in flow))


def _least(flow: Sequence[asyncpg.Record], name: str) -> float | None:
    return min((row[name] for row in flow if row[name] is not None), default=None)


def _batch(row: asyncpg.Record) -> dict[str, Any]:
    return {**dict(row), "phases": orjson.loads(row["phases"])}
