"""Every table counted again and compared: what is read, once, and what is made of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from database.migrate import require_newest
from encore.events import Topics
from encore.log import get_logger
from encore.settings import Settings
from verification import entities
from verification.accounting import Accounting, close_books
from verification.accounts import compare_accounts
from verification.books import Books, read_books, snapshot
from verification.compare import Check, Finding, compare
from verification.entities import JudgedEntities, judge_items, judge_users
from verification.errors import ImpossibleError
from verification.events import Fates, JudgedEvents, judge_events
from verification.export import export_table
from verification.features import PERSONAL, Rules, features
from verification.held import (
    Held,
    counted_topics,
    read_held,
    refuse_other_topics,
    refuse_removed,
    refuse_reset,
)
from verification.outcomes import OUTCOMES, expected_outcomes
from verification.rejects import REJECTED, expected_rejects, unsure_rejects
from verification.source import Ranges, read_records
from verification.tables import ACCOUNTS, EVENT_TABLES, ITEM_TABLES, USER_TABLES

log = get_logger("verification")

JudgeEntities = Callable[[DataFrame, Ranges], JudgedEntities]

# Small tables leave the cores idle between their stages: two at a time fill them.
_AT_ONCE = 2
_OF_EVERY_TOPIC = (REJECTED.table, ACCOUNTS)


@dataclass(frozen=True)
class Taken:
    """One moment: the books, the tables as files, what Kafka held right after, the accounting."""

    topics: Topics
    books: Books
    held: Held
    accounting: Accounting
    rules: Rules
    files: Mapping[str, Path]

    def counted(self, topic: str) -> Ranges:
        """Return the offsets of a topic that were counted."""
        return {one.partition: (one.first_offset, one.next_offset) for one in self.books.of(topic)}

    def to_the_end(self, topic: str) -> Ranges:
        """Return the offsets of a topic from the first that was counted to the end."""
        return {
            one.partition: (one.first_offset, self.held.ends[topic, one.partition])
            for one in self.books.of(topic)
        }


def take(
    bootstrap: str, database: str, topics: Topics, tables: Sequence[str], folder: Path
) -> Taken:
    """Read the books and write the tables into a folder, all as of one moment.

    Raises:
        ImpossibleError: what was counted cannot be counted again.
        ServiceUnavailableError: Kafka or PostgreSQL does not answer.
    """
    require_newest(database, ImpossibleError)
    with snapshot(database) as cursor:
        books = read_books(cursor)
        refuse_reset(books)
        held = read_held(bootstrap, counted_topics(books, topics))
        refuse_other_topics(books, held)
        refuse_removed(books, held, topics_of(topics, tables))
        rules = Rules.of(books.settings)
        files = {
            check.table: export_table(cursor, check.table, check.stored_columns, folder)
            for check in checks(rules)
            if check.table in tables
        }
    return Taken(topics, books, held, close_books(books, held), rules, files)


def checks(rules: Rules) -> list[Check]:
    """Return how each table is compared that is compared row by row."""
    of_events = [one.check for one in features(rules)]
    return [*of_events, OUTCOMES, *entities.OF_USERS, *entities.OF_ITEMS, REJECTED]


def topics_of(topics: Topics, tables: Sequence[str]) -> list[str]:
    """Return the topics that tables come from."""
    sources = {
        topics.events: EVENT_TABLES,
        topics.users: USER_TABLES,
        topics.items: ITEM_TABLES,
    }
    return [
        topic
        for topic, made in sources.items()
        if not set(tables).isdisjoint((*made, *_OF_EVERY_TOPIC))
    ]


class Recount:
    """The topics that some tables come from, judged record by record, and held."""

    def __init__(
        self,
        spark: SparkSession,
        taken: Taken,
        bootstrap: str,
        settings: Settings,
        tables: Sequence[str],
    ) -> None:
        """Read and judge the topics, each once."""
        self._spark = spark
        self._taken = taken
        self._tables = tables
        topics, wanted = taken.topics, topics_of(taken.topics, tables)

        def entity(topic: str, judge: JudgeEntities) -> JudgedEntities | None:
            if topic not in wanted:
                return None
            records = read_records(spark, bootstrap, topic, taken.to_the_end(topic))
            return judge(records, taken.counted(topic))

        def events() -> JudgedEvents | None:
            if topics.events not in wanted:
                return None
            records = read_records(spark, bootstrap, topics.events, taken.counted(topics.events))
            return judge_events(records, settings, taken.rules, taken.books.erased)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            of_events = pool.submit(events)
            of_entities = {
                topics.users: pool.submit(entity, topics.users, judge_users),
                topics.items: pool.submit(entity, topics.items, judge_items),
            }
        self._events = of_events.result()
        self._entities = {
            topic: judged
            for topic, one in of_entities.items()
            if (judged := one.result()) is not None
        }

    @property
    def records(self) -> int:
        """Return how many records were counted again."""
        return sum(one.found for one in self._fates().values())

    def findings(self) -> list[Finding]:
        """Compare every table, in the order in which they are told."""
        jobs = [*self._of_events(), *self._of_users(), *self._of_items(), *self._of_all()]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda job: job(), jobs))

    def _of_events(self) -> list[Callable[[], Finding]]:
        if self._events is None:
            return []
        counting, rules = self._events.counting, self._taken.rules
        known = counting.filter("NOT erased")
        jobs = [
            self._job(one.check, one.expected(known if one.check.table in PERSONAL else counting))
            for one in features(rules)
            if one.check.table in self._tables
        ]
        if OUTCOMES.table in self._tables:
            jobs.append(self._job(OUTCOMES, expected_outcomes(self._events.shown, rules)))
        return jobs

    def _of_users(self) -> list[Callable[[], Finding]]:
        if entities.USERS.table not in self._tables:
            return []
        users = self._entities[self._taken.topics.users]
        return [self._job(entities.USERS, entities.expected_users(users), users.unsure)]

    def _of_items(self) -> list[Callable[[], Finding]]:
        chosen = [one for one in entities.OF_ITEMS if one.table in self._tables]
        if not chosen:
            return []
        items = self._entities[self._taken.topics.items]
        return [
            self._job(
                check,
                entities.EXPECTED[check.table](items),
                entities.unsure_of(check, items, self._stored(check)),
            )
            for check in chosen
        ]

    def _of_all(self) -> list[Callable[[], Finding]]:
        jobs = []
        if REJECTED.table in self._tables:
            jobs.append(self._job(REJECTED, self._expected_rejects(), self._unsure_rejects()))
        if ACCOUNTS in self._tables:
            jobs.append(
                lambda: compare_accounts(
                    self._taken.books.counted, self._fates(), self._taken.topics.compacted()
                )
            )
        return jobs

    def _job(
        self, check: Check, expected: DataFrame, unsure: DataFrame | None = None
    ) -> Callable[[], Finding]:
        def run() -> Finding:
            started = time.monotonic()
            found = compare(check, expected, self._stored(check), unsure)
            log.debug(
                "compared",
                table=check.table,
                rows=found.rows,
                seconds=round(time.monotonic() - started, 2),
            )
            return found

        return run

    def _stored(self, check: Check) -> DataFrame:
        return self._spark.read.parquet(f"file://{self._taken.files[check.table]}")

    def _expected_rejects(self) -> DataFrame:
        broken = {topic: one.rejected for topic, one in self._entities.items()}
        if self._events is not None:
            broken[self._taken.topics.events] = self._events.rejected
        ids = self._taken.held.ids
        return reduce(
            DataFrame.unionAll,
            (expected_rejects(rows, topic, ids[topic]) for topic, rows in broken.items()),
        )

    def _unsure_rejects(self) -> DataFrame | None:
        stored = self._stored(REJECTED)
        unsure = [
            unsure_rejects(stored, topic, one)
            for topic, one in self._entities.items()
            if not one.whole
        ]
        if erased := self._taken.books.erased_rejects:
            schema = "topic string, partition int, offset long"
            unsure.append(self._spark.createDataFrame(list(erased), schema))
        return reduce(DataFrame.unionAll, unsure) if unsure else None

    def _fates(self) -> dict[tuple[str, int], Fates]:
        fates = {
            (topic, partition): fate
            for topic, one in self._entities.items()
            for partition, fate in one.fates.items()
        }
        if self._events is not None:
            events = self._taken.topics.events
            fates |= {(events, part): fate for part, fate in self._events.fates.items()}
        return fates
