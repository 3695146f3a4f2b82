"""The accounting by itself, without Spark."""

from database.migrate import pending
from encore.events import Topics
from encore.stack.endpoints import redact_url
from verification.accounting import Accounting, close_books
from verification.books import read_books, snapshot
from verification.errors import ImpossibleError
from verification.held import counted_topics, read_held, refuse_other_topics


def account(bootstrap: str, database: str, topics: Topics) -> Accounting:
    """Close the books of what is counted now.

    Raises:
        ImpossibleError: nothing is counted, or Kafka's topics are not those that were counted.
        ServiceUnavailableError: Kafka or PostgreSQL does not answer.
    """
    refuse_old_schema(database)
    with snapshot(database) as cursor:
        books = read_books(cursor)
    held = read_held(bootstrap, counted_topics(books, topics))
    refuse_other_topics(books, held)
    return close_books(books, held)


def refuse_old_schema(database: str) -> None:
    """Refuse a database that lacks tables.

    Raises:
        ImpossibleError: it lacks a migration.
    """
    if pending(database):
        raise ImpossibleError(
            f"{redact_url(database)} lacks a migration. Bring it up to date with `encore migrate`."
        )
