"""Bring a database to the newest schema."""

from pathlib import Path
from typing import TYPE_CHECKING

from psycopg2 import errors, sql

from database.engine import connect, transaction
from encore.errors import EncoreError
from encore.stack.endpoints import redact_url

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
# Two programs that start together migrate one after the other.
_LOCK = "SELECT pg_advisory_lock(hashtext('encore.migrate'))"


def config(url: str) -> "Config":
    """Return Alembic's configuration for a database, made here so that no file holds the URL."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.attributes["url"] = url
    return made


def upgrade(url: str) -> None:
    """Apply what is missing. Harmless when nothing is, and when several do it at once."""
    from alembic import command

    guard = connect(url)
    try:
        guard.autocommit = True
        with guard.cursor() as cursor:
            cursor.execute(sql.SQL(_LOCK))
        command.upgrade(config(url), "head")
        with guard.cursor() as cursor:
            cursor.execute("SELECT grant_roles()")  # new tables to the roles that there are
    finally:
        guard.close()


def pending(url: str) -> bool:
    """Tell whether the database lacks a migration, or has one that is not known here."""
    try:
        with transaction(url) as cursor:
            cursor.execute("SELECT version_num FROM alembic_version")
            found = [version for (version,) in cursor.fetchall()]
    except errors.UndefinedTable:
        return True
    return found != [_newest()]


def require_newest(url: str, error: type[EncoreError] = EncoreError) -> None:
    """Refuse to work on a database that is not up to date.

    Raises:
        EncoreError: it lacks a migration; the ``error`` that is given, if one is.
    """
    if pending(url):
        raise error(
            f"{redact_url(url)} lacks a migration. Bring it up to date with `encore migrate`."
        )


def _newest() -> str:
    """Return the revision that files are named by: Alembic takes half a second to say the same."""
    return max(one.name for one in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]
