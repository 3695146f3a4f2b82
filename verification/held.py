"""What Kafka holds of the topics that were counted, and whether that is enough to recompute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from encore.events import Topics
from encore.topics import beginning_offsets, end_offsets, topic_ids
from verification.books import Books
from verification.errors import ImpossibleError


@dataclass(frozen=True, slots=True)
class Held:
    """What Kafka holds: the id of each topic, the oldest offset and the end of each partition."""

    ids: Mapping[str, str]
    oldest: Mapping[tuple[str, int], int]
    ends: Mapping[tuple[str, int], int]


def read_held(bootstrap: str, topics: Sequence[str]) -> Held:
    """Ask Kafka. To be asked after the books were read: then no end is before what is counted.

    Raises:
        ServiceUnavailableError: Kafka does not answer.
        EncoreError: a topic does not exist.
    """
    return Held(
        topic_ids(bootstrap, topics),
        beginning_offsets(bootstrap, topics),
        end_offsets(bootstrap, topics),
    )


def counted_topics(books: Books, topics: Topics) -> list[str]:
    """Return the topics that were counted: those that the settings name, no others and no fewer.

    Raises:
        ImpossibleError: the stream has not begun with one, or counted others into the database.
    """
    found = {one.topic for one in books.counted}
    strange = sorted(found - set(topics.all()))
    if strange:
        raise ImpossibleError(
            f"the database counts {', '.join(strange)}, but the settings name "
            f"{', '.join(topics.all())}. Set KAFKA_TOPIC_PREFIX to that of the stream."
        )
    lacking = [topic for topic in topics.all() if topic not in found]
    if lacking:
        raise ImpossibleError(
            f"nothing of {', '.join(lacking)} is counted into this database yet. Start "
            "`encore stream` first."
        )
    return list(topics.all())


def refuse_other_topics(books: Books, held: Held) -> None:
    """Refuse topics whose offsets mean other records than those that were counted.

    Raises:
        ImpossibleError: a topic was made anew, has lost partitions, or its newest records.
    """
    for one in books.counted:
        place = f"{one.topic} partition {one.partition}"
        if one.topic_id != held.ids[one.topic]:
            raise ImpossibleError(
                f"Kafka topic {one.topic} was deleted and created again since it was counted (its "
                f"id was {one.topic_id}, it is {held.ids[one.topic]}): its offsets mean other "
                "records now. Start with an empty database, or bring the old topic back."
            )
        end = held.ends.get((one.topic, one.partition))
        if end is None or end < one.next_offset:
            raise ImpossibleError(
                f"{place} is counted to offset {one.next_offset}, but Kafka has it only to "
                f"{end or 0}: the broker has lost records. Bring them back from a replica, or "
                "start with an empty database."
            )


def refuse_removed(books: Books, held: Held, topics: Sequence[str]) -> None:
    """Refuse to recompute from topics that no longer hold every record that was counted.

    Raises:
        ImpossibleError: Kafka's retention has removed records since ``first_offset``.
    """
    lost = {
        (one.topic, one.partition): (one.first_offset, oldest)
        for one in books.counted
        if one.topic in topics
        and one.next_offset > one.first_offset
        and (oldest := held.oldest[one.topic, one.partition]) > one.first_offset
    }
    if lost:
        told = "; ".join(
            f"{topic} partition {partition} was counted from {first} and begins at {oldest} now"
            for (topic, partition), (first, oldest) in sorted(lost.items())
        )
        raise ImpossibleError(
            f"Kafka's retention has removed records that were counted, so they cannot be counted "
            f"again: {told}. `encore verify --accounting` works without them; to verify whole "
            "tables, raise KAFKA_RETENTION_DAYS (and retention.ms of the topic) before the next "
            "start with an empty database."
        )


def refuse_reset(books: Books) -> None:
    """Refuse tables that hold the events of a topic which is no more.

    Raises:
        ImpossibleError: a topic was made anew, and counted on with --accept-topic-reset.
    """
    if books.reset:
        raise ImpossibleError(
            f"{', '.join(books.reset)} was made anew since counting began: what the old topic held "
            "is in the tables and cannot be read again. `encore verify --accounting` still works."
        )
