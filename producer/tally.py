"""What was sent, acknowledged and not delivered, by kind of record."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from encore.events import Topics
from producer.records import Kind, topic_names


@dataclass(slots=True)
class Tally:
    """Counts of one run. ``failed`` is by reason; ``live_seconds`` spans the live records sent."""

    clock: Callable[[], float] = time.monotonic
    sent: Counter[Kind] = field(default_factory=Counter)
    acknowledged: Counter[Kind] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.clock()

    @property
    def seconds(self) -> float:
        """Return how long the run has taken."""
        return self.clock() - self.begun

    @property
    def events_sent(self) -> int:
        """Return how many records went to the topic of events."""
        return sum(count for kind, count in self.sent.items() if kind.is_event)

    def as_dict(self, topics: Topics) -> dict[str, Any]:
        """Return the counts as the summary of a run shows them."""
        return {
            "seconds": round(self.seconds, 3),
            "sent": by_topic(self.sent, topics),
            "acknowledged": by_topic(self.acknowledged, topics),
            "failed": dict(self.failed),
            "events": self.events_sent,
            "late": self.sent[Kind.LATE],
            "duplicates": self.sent[Kind.DUPLICATE],
            "malformed": self.sent[Kind.MALFORMED],
        }


def by_topic(counts: Counter[Kind], topics: Topics) -> dict[str, int]:
    """Return the counts added up for each topic."""
    names = topic_names(topics)
    totals = dict.fromkeys(topics.all(), 0)
    for kind, count in counts.items():
        totals[names[kind]] += count
    return totals
