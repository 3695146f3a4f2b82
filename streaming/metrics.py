"""What the job says of itself: Prometheus text over HTTP."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client import disable_created_metrics as leave_out_creation_times
from pyspark.sql.streaming.listener import (
    QueryIdleEvent,
    QueryProgressEvent,
    QueryStartedEvent,
    QueryTerminatedEvent,
    StreamingQueryListener,
)

from streaming.sink.progress import Tally

_PREFIX = "encore_stream"
_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)


class Server(Protocol):
    """The HTTP server of prometheus_client."""

    def shutdown(self) -> None:
        """End it."""

    def server_close(self) -> None:
        """Give back its port."""


class Metrics:
    """Counts and gauges of one job, by topic."""

    def __init__(self) -> None:
        """Begin at zero, in a registry of its own."""
        leave_out_creation_times()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        one, place = ("topic",), ("topic", "partition")
        self._records = self._counter("records", "Records counted.", (*one, "outcome"))
        self._rejected = self._counter("rejected", "Records rejected.", (*one, "reason"))
        self._put_off = self._counter("put_off", "Tries of a batch that failed.", one)
        self._phases = Histogram(
            f"{_PREFIX}_phase_seconds",
            "Time of a batch's phase: stage (read, decode, add up, copy), merge, commit; and of "
            "Spark's own: trigger, planning, offsets.",
            (*one, "phase"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._input = self._gauge("input_records_per_second", "Records that arrive.", one)
        self._processed = self._gauge("processed_records_per_second", "Records done.", one)
        self._lag = self._gauge("lag_records", "Records in Kafka, not counted yet.", place)
        self._next = self._gauge("next_offset", "First offset not counted yet.", place)
        self._committed = self._gauge("last_commit_timestamp_seconds", "Last commit.", one)
        self._event = self._gauge("newest_event_timestamp_seconds", "Newest event counted.", one)
        self._produced = self._gauge(
            "newest_produced_timestamp_seconds", "Newest sending of a counted record.", one
        )
        self._event_age = self._gauge("event_freshness_seconds", "Now - newest event.", one)
        self._produced_age = self._gauge(
            "produced_freshness_seconds", "Now - newest sending of a counted record.", one
        )
        self._state_rows = self._gauge("state_rows", "Event ids kept to tell repeats.", one)
        self._state_bytes = self._gauge("state_bytes", "Size of the kept event ids.", one)
        self._ends: dict[str, dict[int, int]] = {}
        self._counted: dict[str, dict[int, int]] = {}

    def serve(self, port: int, host: str) -> Server:
        """Answer at ``http://host:port/metrics`` from a thread of its own.

        Raises:
            OSError: the port is taken.
        """
        server, _ = start_http_server(port, host, self.registry)
        return server

    def batch(
        self,
        topic: str,
        tallies: Sequence[Tally],
        next_offsets: Mapping[int, int],
        phases_ms: Mapping[str, int],
    ) -> None:
        """Take note of a committed batch."""
        for tally in tallies:
            for outcome in ("accepted", "late", "duplicate", "rejected"):
                self._records.labels(topic, outcome).inc(getattr(tally, outcome))
            for reason, count in tally.reasons.items():
                self._rejected.labels(topic, reason).inc(count)
        for phase, ms in phases_ms.items():
            self._phases.labels(topic, phase).observe(ms / 1000)
        self._committed.labels(topic).set_to_current_time()
        self._newest(topic, tallies)
        self._counted.setdefault(topic, {}).update(next_offsets)
        for partition, offset in next_offsets.items():
            self._next.labels(topic, partition).set(offset)
        self._measure_lag(topic)

    def put_off(self, topic: str) -> None:
        """Take note of a try that failed."""
        self._put_off.labels(topic).inc()

    def state(self, topic: str, rows: int, size: int) -> None:
        """Take note of how much is kept to tell repeats; ``size`` in bytes."""
        self._state_rows.labels(topic).set(rows)
        self._state_bytes.labels(topic).set(size)

    def progress(self, report: Mapping[str, Any]) -> None:
        """Take note of what Spark reports of a trigger, given as its JSON."""
        topic = str(report["name"])
        self._input.labels(topic).set(report.get("inputRowsPerSecond") or 0)
        self._processed.labels(topic).set(report.get("processedRowsPerSecond") or 0)
        if report.get("numInputRows"):
            for name, phase in _SPARKS_PHASES.items():
                if name in report.get("durationMs", {}):
                    self._phases.labels(topic, phase).observe(report["durationMs"][name] / 1000)
        for source in report.get("sources", ()):
            ends = source.get("latestOffset") or {}
            for partition, end in ends.get(topic, {}).items():
                self._ends.setdefault(topic, {})[int(partition)] = end
        self._measure_lag(topic)

    def _newest(self, topic: str, tallies: Sequence[Tally]) -> None:
        for gauge, age, values in (
            (self._event, self._event_age, [one.event_ms for one in tallies]),
            (self._produced, self._produced_age, [one.produced_ms for one in tallies]),
        ):
            newest = max((value for value in values if value), default=None)
            if newest is not None:
                gauge.labels(topic).set(newest / 1000)
                age.labels(topic).set_function(_Age(newest / 1000))

    def _measure_lag(self, topic: str) -> None:
        for partition, end in self._ends.get(topic, {}).items():
            counted = self._counted.get(topic, {}).get(partition)
            if counted is not None:
                self._lag.labels(topic, partition).set(max(0, end - counted))

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str]) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.registry)


class ProgressListener(StreamingQueryListener):
    """Hands Spark's reports on to the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        """Take the metrics."""
        self._metrics = metrics

    def onQueryStarted(self, event: QueryStartedEvent) -> None:  # noqa: N802 (Spark's name)
        """Take note of nothing."""

    def onQueryProgress(self, event: QueryProgressEvent) -> None:  # noqa: N802 (Spark's name)
        """Take note of a trigger."""
        self._metrics.progress(json.loads(event.progress.json))

    def onQueryIdle(self, event: QueryIdleEvent) -> None:  # noqa: N802 (Spark's name)
        """Take note of nothing."""

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:  # noqa: N802 (Spark's name)
        """Take note of nothing."""


class _Age:
    """The seconds since a moment, whenever they are asked for."""

    def __init__(self, since: float) -> None:
        self._since = since

    def __call__(self) -> float:
        return time.time() - self._since


_SPARKS_PHASES = {
    "triggerExecution": "trigger",
    "queryPlanning": "planning",
    "latestOffset": "latest_offset",
    "walCommit": "offset_log",
    "commitOffsets": "commit_log",
}
