"""Whether the books close: what was produced is what was counted, and what waits."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from verification.books import Audited, Books, Counted
from verification.held import Held

_ADDED_UP = ("accepted", "late", "duplicate", "rejected")


@dataclass(frozen=True, slots=True)
class Account:
    """One partition: what Kafka has of it since counting began, and what became of that.

    ``produced`` and ``waiting`` are in offsets. ``gaps`` are offsets that held no record when they
    were counted: compacted away, or the marks of a transaction. ``kept`` is the number of its rows
    in ``rejected_events``.
    """

    topic: str
    partition: int
    produced: int
    accepted: int
    late: int
    duplicate: int
    rejected: int
    gaps: int
    kept: int
    waiting: int

    def problems(self) -> list[str]:
        """Return what does not close, in words."""
        place = f"{self.topic} partition {self.partition}"
        passed = self.produced - self.waiting
        became = self.accepted + self.duplicate + self.rejected + self.gaps
        said = f"accepted {self.accepted:,} + duplicate {self.duplicate:,} + rejected "
        said += f"{self.rejected:,} + gaps {self.gaps:,} = {became:,}"
        found = []
        if became != passed:
            found.append(f"{place}: {passed:,} offsets are counted, but {said}")
        if self.kept != self.rejected:
            found.append(
                f"{place}: rejected {self.rejected:,}, but rejected_events has {self.kept:,} rows"
            )
        if self.late > self.accepted:
            found.append(f"{place}: late {self.late:,} of accepted {self.accepted:,}")
        return found


@dataclass(frozen=True, slots=True)
class Accounting:
    """The accounts of every partition, and what does not close."""

    accounts: Sequence[Account]
    problems: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "accounts": [asdict(one) for one in self.accounts],
            "problems": list(self.problems),
        }


def close_books(books: Books, held: Held) -> Accounting:
    """Hold the offsets, the audit and the rejected records against Kafka and one another."""
    recorded = {(one.topic, one.partition): one for one in books.counted}
    asked = {topic for topic, _ in recorded}
    places = sorted({place for place in held.ends if place[0] in asked} | recorded.keys())
    accounts = [_account(place, recorded.get(place), books, held) for place in places]
    problems = [problem for account in accounts for problem in account.problems()]
    for topic in sorted(asked - set(books.reset)):
        problems += _audit_problems(topic, books.of(topic), books.audited.get(topic, Audited({})))
    problems += [
        f"{topic} partition {partition}: rejected_events has {rows:,} rows of a partition that "
        "was never counted"
        for (topic, partition), rows in sorted(books.kept.items())
        if (topic, partition) not in recorded
    ]
    return Accounting(accounts, problems)


def _account(place: tuple[str, int], counted: Counted | None, books: Books, held: Held) -> Account:
    topic, partition = place
    # A partition that the stream has not seen yet waits from its oldest record on.
    oldest = held.oldest.get(place, 0)
    one = counted or Counted(topic, "", partition, oldest, oldest, 0, 0, 0, 0)
    end = held.ends.get(place, 0)
    return Account(
        topic=topic,
        partition=partition,
        produced=end - one.first_offset,
        accepted=one.accepted,
        late=one.late,
        duplicate=one.duplicate,
        rejected=one.rejected,
        gaps=one.gaps,
        kept=books.kept.get(place, 0) if counted else 0,
        waiting=end - one.next_offset,
    )


def _audit_problems(topic: str, counted: Sequence[Counted], audited: Audited) -> list[str]:
    sums = {name: sum(getattr(one, name) for one in counted) for name in _ADDED_UP}
    sums["read"] = sums["accepted"] + sums["duplicate"] + sums["rejected"]
    found = [
        f"{topic}: {name} is {total:,} in stream_offsets, but the batches of ingest_audit add up "
        f"to {getattr(audited, name):,}"
        for name, total in sums.items()
        if total != getattr(audited, name)
    ]
    return found + _moved_problems(topic, counted, audited.moved)


def _moved_problems(topic: str, counted: Sequence[Counted], moved: Mapping[int, int]) -> list[str]:
    return [
        f"{topic} partition {one.partition}: {one.next_offset - one.first_offset:,} offsets are "
        f"counted, but the batches of ingest_audit went over {moved.get(one.partition, 0):,}"
        for one in counted
        if one.next_offset - one.first_offset != moved.get(one.partition, 0)
    ]
