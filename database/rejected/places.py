"""The place of a record in Kafka, as people write it: ``music.events/2/1042``."""

import re
from dataclasses import dataclass
from typing import Final

from encore.errors import EncoreError

_WRITTEN: Final = re.compile(r"(?P<topic>[A-Za-z0-9._-]{1,249})/(?P<partition>\d+)/(?P<offset>\d+)")
_MOST_PARTITION: Final = 2**31 - 1
_MOST_OFFSET: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record lies in Kafka.

    ``topic_id`` is None where it is not known: a topic that was made anew has the same name, and
    may have the same offsets again.
    """

    topic: str
    topic_id: str | None
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Return the place that a text such as ``music.events/2/1042`` names.

        Raises:
            EncoreError: the text names no place.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise EncoreError(
                f"{text!r} is no place in Kafka: write TOPIC/PARTITION/OFFSET, "
                "such as music.events/2/1042."
            )
        return cls.of(found["topic"], None, int(found["partition"]), int(found["offset"]))

    @classmethod
    def of(cls, topic: str, topic_id: str | None, partition: int, offset: int) -> "Place":
        """Return a place, its numbers within what Kafka can have.

        Raises:
            EncoreError: a number is negative, or larger than Kafka's.
        """
        if not 0 <= partition <= _MOST_PARTITION or not 0 <= offset <= _MOST_OFFSET:
            raise EncoreError(f"{topic}/{partition}/{offset} is no place that Kafka can have.")
        return cls(topic, topic_id, partition, offset)
