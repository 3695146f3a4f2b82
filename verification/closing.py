"""The accounting by itself, without Spark."""

from database.migrate import require_newest
from encore.events import Topics
from verification.accounting import Accounting, close_books
from verification.books import read_books, snapshot
from verification.errors import ImpossibleError
from verification.held import counted_topics, read_held, refuse_other_topics


def account(bootstrap: str, database: str, topics: Topics) -> Accounting:
    """Close the books of what is counted now.

    Raises:
        ImpossibleError: nothing is counted, the database lacks a migration, or Kafka's topics are
            not those that were counted.
        ServiceUnavailableError: Kafka or PostgreSQL does not answer.
    """
    require_newest(database, ImpossibleError)
    with snapshot(database) as cursor:
        books = read_books(cursor)
    held = read_held(bootstrap, counted_topics(books, topics))
    refuse_other_topics(books, held)
    return close_books(books, held)
