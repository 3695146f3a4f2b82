"""Records on their way to Kafka: what is sent, to which topic, under which key, and when."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from encore.events import Topics
from producer.arrays import Bools, Codes, Ints


class Kind(IntEnum):
    """What a record is. The first four go to the topic of events."""

    EVENT = 0
    LATE = 1
    DUPLICATE = 2
    MALFORMED = 3
    USER = 4
    ITEM = 5

    @property
    def is_event(self) -> bool:
        """Return whether the record goes to the topic of events."""
        return self <= Kind.MALFORMED


def topic_names(topics: Topics) -> tuple[str, ...]:
    """Return the topic of each kind, in the order of ``Kind``."""
    return (topics.events,) * 4 + (topics.users, topics.items)


@dataclass(frozen=True, slots=True)
class Extra:
    """A record beside the good events. ``place`` is where it goes among their numbers."""

    place: float
    kind: Kind
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Records in the order in which they are sent.

    ``kinds`` index ``Kind``; ``due`` is when a live record is published (epoch ms, never
    falling); records of the history are sent as fast as can be.
    """

    kinds: Codes
    keys: Sequence[bytes | None]
    values: list[bytes]
    due: Ints
    live: bool

    def __len__(self) -> int:
        return len(self.keys)

    def part(self, start: int, stop: int) -> "RecordBlock":
        """Return the records from ``start`` up to ``stop``."""
        return RecordBlock(
            self.kinds[start:stop],
            self.keys[start:stop],
            self.values[start:stop],
            self.due[start:stop],
            self.live,
        )

    def events_only(self) -> "RecordBlock":
        """Return the records that are not entities."""
        return self.take(self.kinds <= Kind.MALFORMED)

    def take(self, chosen: Bools) -> "RecordBlock":
        """Return the records that are chosen, in their order."""
        kept = np.flatnonzero(chosen)
        picks = kept.tolist()
        return RecordBlock(
            self.kinds[kept],
            [self.keys[pick] for pick in picks],
            [self.values[pick] for pick in picks],
            self.due[kept],
            self.live,
        )

    def counts(self) -> Counter[Kind]:
        """Return how many records there are of each kind."""
        counts = np.bincount(self.kinds, minlength=len(Kind)).tolist()
        return Counter({kind: counts[kind] for kind in Kind if counts[kind]})
