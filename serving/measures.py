"""What the API says of itself: Prometheus text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client import disable_created_metrics as leave_out_creation_times

_PREFIX = "encore_api"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Measures:
    """Counts of one process, in a registry of its own."""

    def __init__(self) -> None:
        """Begin at zero."""
        leave_out_creation_times()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._requests = Counter(
            f"{_PREFIX}_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            f"{_PREFIX}_request_seconds",
            "Time from a request to its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._in_hand = Gauge(
            f"{_PREFIX}_requests_in_hand", "Requests not answered yet.", registry=self.registry
        )
        self._records = Counter(
            f"{_PREFIX}_records",
            "Records written, by what became of them.",
            ("topic", "outcome"),
            registry=self.registry,
        )
        self._cache = Counter(
            f"{_PREFIX}_cache",
            "Answers that may be kept in Redis, by what became of that: hit, miss or away.",
            ("outcome",),
            registry=self.registry,
        )
        self._cache_up = Gauge(
            f"{_PREFIX}_cache_up",
            "Whether Redis answers: 1 or 0; 0 also where there is none.",
            registry=self.registry,
        )
        self._model = Gauge(
            f"{_PREFIX}_model_run", "Run of the model in memory; 0: none.", registry=self.registry
        )

    def begin(self) -> None:
        """Count a request that came."""
        self._in_hand.inc()

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._in_hand.dec()
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def records(self, topic: str, outcome: str, count: int) -> None:
        """Count records: acknowledged, rejected or given up."""
        if count:
            self._records.labels(topic, outcome).inc(count)

    def cache(self, outcome: str) -> None:
        """Count a request that Redis may answer: hit, miss or away."""
        self._cache.labels(outcome).inc()

    def cache_up(self, *, up: bool) -> None:
        """Take note of whether Redis answers."""
        self._cache_up.set(int(up))

    def model(self, run: int) -> None:
        """Take note of the model in memory."""
        self._model.set(run)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
