"""What the demo shows and reports, as plain values: no service and no clock in here."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

RATE_SECONDS: Final = 6.0


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the demo. ``seconds`` it took, None while it lasts."""

    name: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TopicProgress:
    """How far a topic is counted: sums over its partitions; offsets count records.

    ``freshness`` is the age of the newest counted record, ``since_commit`` the time since the
    counting last moved, both in s and None before the first batch.
    """

    first: int = 0
    next: int = 0
    accepted: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: int = 0
    freshness: float | None = None
    since_commit: float | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """The topic of events between Kafka and the tables.

    ``arriving`` and ``committing`` are events/s; ``lag`` is what all topics hold uncounted.
    """

    produced: int = 0
    counted: TopicProgress = field(default_factory=TopicProgress)
    arriving: float = 0.0
    committing: float = 0.0
    lag: int = 0


@dataclass(frozen=True, slots=True)
class Trend:
    """A track that trends, with its decayed score in complete plays."""

    title: str
    artist: str
    score: float


@dataclass(frozen=True, slots=True)
class Play:
    """What a listener gave a track, ``age`` seconds after they last did."""

    title: str
    artist: str
    plays: int
    skips: int
    likes: int
    age: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A row of ``recommendations_for``, with the names of its track."""

    rank: int
    title: str
    artist: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener: who, what they last played, what is recommended to them."""

    user_id: str
    name: str
    place: str
    plays: tuple[Play, ...]
    recommendations: tuple[Recommendation, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """The published run of the recommender."""

    model_run_id: int
    algorithm: str
    published_at: datetime
    metrics: Mapping[str, Any]
    interactions: int
    message: str = ""

    def metric(self, model: str, name: str) -> float | None:
        """Return a figure of a model, such as ``ndcg@10`` of ``als``, where it was measured."""
        figures = self.metrics.get(model)
        value = figures.get(name) if isinstance(figures, Mapping) else None
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the recommendations of a source that were shown."""

    source: str
    impressions: int
    plays: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the view shows at one moment. ``model_age`` is in s."""

    seconds: float = 0.0
    steps: tuple[Step, ...] = ()
    flow: Flow = field(default_factory=Flow)
    open_sessions: int = 0
    trending: tuple[Trend, ...] = ()
    model: Model | None = None
    model_age: float = 0.0
    training: str = ""
    listener: Listener | None = None
    notes: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()


class Rates:
    """Turns running totals into rates over the last seconds."""

    def __init__(self, window_seconds: float = RATE_SECONDS) -> None:
        self._window = window_seconds
        self._seen: deque[tuple[float, int, int]] = deque()

    def add(self, at: float, arrived: int, committed: int) -> tuple[float, float]:
        """Take totals at a moment in s; return arriving and committing a second."""
        self._seen.append((at, arrived, committed))
        while len(self._seen) > 2 and at - self._seen[1][0] >= self._window:
            self._seen.popleft()
        begun, arrived_then, committed_then = self._seen[0]
        span = at - begun
        if span <= 0:
            return 0.0, 0.0
        return (arrived - arrived_then) / span, (committed - committed_then) / span
