"""``stream_offsets`` against what was found in Kafka, partition by partition."""

from collections.abc import Mapping, Sequence

from verification.books import Counted
from verification.compare import EXAMPLES, Finding
from verification.events import Fates
from verification.tables import ACCOUNTS

_NOTHING = Fates(0, 0, 0, 0)


def compare_accounts(
    counted: Sequence[Counted], fates: Mapping[tuple[str, int], Fates], compacted: Sequence[str]
) -> Finding:
    """Compare the recorded counts of each partition with those found.

    In a compacted topic Kafka may have thrown records away since they were counted: there the
    recorded counts are at least those found, and add up to no more than the offsets passed.
    """
    wrong = []
    for one in counted:
        found = fates.get((one.topic, one.partition), _NOTHING)
        told = _gone_over(one, found) if one.topic in compacted else _all_found(one, found)
        if told:
            place = f"topic='{one.topic}', partition={one.partition}"
            wrong.append(f"different {place}: {'; '.join(told)}")
    equal = len(counted) - len(wrong)
    return Finding(ACCOUNTS, equal, 0, 0, len(wrong), examples=wrong[:EXAMPLES])


def _all_found(one: Counted, found: Fates) -> list[str]:
    expected = {
        "accepted": found.accepted,
        "late": found.late,
        "duplicate": found.found - found.accepted - found.rejected,
        "rejected": found.rejected,
        "gaps": one.next_offset - one.first_offset - found.found,
    }
    return [
        f"{name} must be {right:,}, is {is_:,}"
        for name, right in expected.items()
        if right != (is_ := getattr(one, name))
    ]


def _gone_over(one: Counted, found: Fates) -> list[str]:
    told = [
        f"{name} must be at least {least:,}, is {is_:,}"
        for name, least in (("accepted", found.accepted), ("rejected", found.rejected))
        if (is_ := getattr(one, name)) < least
    ]
    passed = one.next_offset - one.first_offset
    if one.accepted + one.rejected > passed:
        told.append(f"accepted and rejected must be at most {passed:,} together")
    return told + [
        f"{name} must be 0, is {is_:,}"
        for name in ("late", "duplicate")
        if (is_ := getattr(one, name))
    ]
