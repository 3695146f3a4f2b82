"""Whether the books close, and what is said where they do not or cannot."""

from dataclasses import replace
from typing import Any

import pytest

from encore.events import Topics
from verification.accounting import Accounting, close_books
from verification.accounts import compare_accounts
from verification.books import Audited, Books, Counted
from verification.compare import Finding
from verification.errors import ImpossibleError
from verification.events import Fates
from verification.held import Held, counted_topics, refuse_other_topics, refuse_removed
from verification.report import Report, accounting_lines, finding_lines, verdict

TOPICS = Topics.of("m")
EVENTS = Counted("m.events", "id-e", 0, 10, 110, accepted=90, late=5, duplicate=7, rejected=3)
USERS = Counted("m.users", "id-u", 0, 0, 50, accepted=20, late=0, duplicate=0, rejected=0, gaps=30)
ITEMS = Counted("m.items", "id-i", 0, 0, 0, accepted=0, late=0, duplicate=0, rejected=0)
BOOKS = Books(
    [EVENTS, USERS, ITEMS],
    {("m.events", 0): 3},
    {"m.events": Audited({0: 100}, 100, 90, 5, 7, 3), "m.users": Audited({0: 50}, 20, 20)},
    {},
)
HELD = Held(
    {"m.events": "id-e", "m.users": "id-u", "m.items": "id-i"},
    {("m.events", 0): 10, ("m.events", 1): 4, ("m.users", 0): 0, ("m.items", 0): 0},
    {("m.events", 0): 130, ("m.events", 1): 6, ("m.users", 0): 50, ("m.items", 0): 0},
)


def closed(books: Books = BOOKS) -> Accounting:
    return close_books(books, HELD)


def with_events(**changes: Any) -> Books:
    return replace(BOOKS, counted=[replace(EVENTS, **changes), USERS, ITEMS])


def test_what_was_produced_is_what_was_counted_and_what_waits() -> None:
    found = closed()
    assert found.problems == []
    first = found.accounts[0]
    became = first.accepted + first.duplicate + first.rejected
    assert (first.produced, became, first.waiting) == (120, 100, 20)


def test_a_partition_that_the_stream_has_not_seen_waits_whole() -> None:
    account = closed().accounts[1]
    assert (account.partition, account.produced, account.waiting) == (1, 2, 2)


def test_offsets_compacted_away_are_no_hole_in_the_books() -> None:
    account = next(one for one in closed().accounts if one.topic == "m.users")
    assert (account.produced, account.accepted, account.problems()) == (50, 20, [])
    more = replace(BOOKS, counted=[EVENTS, replace(USERS, accepted=51), ITEMS])
    assert any("m.users partition 0: 50 offsets" in one for one in closed(more).problems)


@pytest.mark.parametrize(
    ("books", "told"),
    [
        (
            with_events(accepted=91),
            [
                "m.events partition 0: 100 offsets are counted, but accepted 91 + duplicate 7 + "
                "rejected 3 + gaps 0 = 101",
                "m.events: accepted is 91 in stream_offsets, but the batches of ingest_audit add "
                "up to 90",
                "m.events: read is 101 in stream_offsets, but the batches of ingest_audit add up "
                "to 100",
            ],
        ),
        (
            replace(BOOKS, kept={}),
            ["m.events partition 0: rejected 3, but rejected_events has 0 rows"],
        ),
        (
            replace(BOOKS, kept={("m.events", 0): 3, ("m.events", 9): 1}),
            [
                "m.events partition 9: rejected_events has 1 rows of a partition that was never "
                "counted"
            ],
        ),
        (
            with_events(first_offset=9, duplicate=8),
            [
                "m.events: duplicate is 8 in stream_offsets, but the batches of ingest_audit add "
                "up to 7",
                "m.events: read is 101 in stream_offsets, but the batches of ingest_audit add up "
                "to 100",
                "m.events partition 0: 101 offsets are counted, but the batches of ingest_audit "
                "went over 100",
            ],
        ),
    ],
)
def test_what_does_not_close_is_told_with_its_numbers(books: Books, told: list[str]) -> None:
    assert list(closed(books).problems) == told


def test_counts_are_held_against_what_was_found() -> None:
    found = {
        ("m.events", 0): Fates(found=100, accepted=89, late=5, rejected=4),
        ("m.users", 0): Fates(found=18, accepted=18, late=0, rejected=0),
    }
    compared = compare_accounts([EVENTS, USERS, ITEMS], found, TOPICS.compacted())
    assert compared == Finding(
        "stream_offsets",
        equal=2,
        missing=0,
        extra=0,
        different=1,
        examples=[
            "different topic='m.events', partition=0: accepted must be 89, is 90; "
            "rejected must be 4, is 3"
        ],
    )


def test_a_compacted_topic_was_counted_at_least_as_far_as_it_is_still_there() -> None:
    more = {("m.users", 0): Fates(found=21, accepted=21, late=0, rejected=0)}
    (told,) = compare_accounts([USERS], more, TOPICS.compacted()).examples
    assert told.endswith("accepted must be at least 21, is 20")


def test_a_topic_made_anew_is_refused() -> None:
    held = replace(HELD, ids={**HELD.ids, "m.events": "id-other"})
    with pytest.raises(ImpossibleError, match=r"m\.events was deleted and created again"):
        refuse_other_topics(BOOKS, held)


def test_an_end_before_what_was_counted_is_refused() -> None:
    held = replace(HELD, ends={**HELD.ends, ("m.events", 0): 109})
    with pytest.raises(ImpossibleError, match=r"counted to offset 110, .* only to 109"):
        refuse_other_topics(BOOKS, held)


def test_records_that_retention_removed_are_told_and_only_where_they_are_needed() -> None:
    held = replace(HELD, oldest={**HELD.oldest, ("m.events", 0): 60})
    refuse_removed(BOOKS, held, [TOPICS.users])
    with pytest.raises(ImpossibleError, match="was counted from 10 and begins at 60") as error:
        refuse_removed(BOOKS, held, TOPICS.all())
    assert "KAFKA_RETENTION_DAYS" in str(error.value)
    assert error.value.exit_code == 2


def test_other_topics_than_the_settings_name_are_refused() -> None:
    assert counted_topics(BOOKS, TOPICS) == list(TOPICS.all())
    with pytest.raises(ImpossibleError, match="Set KAFKA_TOPIC_PREFIX"):
        counted_topics(BOOKS, Topics.of("other"))
    with pytest.raises(ImpossibleError, match=r"nothing of m\.events, m\.users, m\.items"):
        counted_topics(replace(BOOKS, counted=[]), TOPICS)


def test_a_report_lines_up_and_says_what_is_wrong() -> None:
    good = Finding("users", 1_200, 0, 0, 0)
    bad = Finding("items", 9, 1, 0, 0, examples=["missing item_id='t1'"])
    assert list(finding_lines([good, bad])) == [
        "table   rows  equal  missing  extra  different  left out",
        "users  1,200  1,200        0      0          0         0",
        "items      9      9        1      0          0         0",
        "  items: missing item_id='t1'",
    ]
    assert next(accounting_lines(closed())).split()[:3] == ["topic", "partition", "produced"]
    took = "(7 records counted again in 1.5 s)"
    assert verdict(Report(closed(), [good, bad], 7, 1.5)) == f"NOT clean: wrong: items {took}"
    clean = Report(closed(), [good], 7, 1.5)
    assert clean.clean
    assert verdict(clean) == f"clean: all 1,200 rows are what Kafka gives {took}"
    open_books = Report(closed(with_events(accepted=91)), [good], 7, 1.5)
    assert verdict(open_books) == f"NOT clean: the books do not close {took}"
