"""Bring a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg2 import sql

from database.engine import connect, make_engine

MIGRATIONS = Path(__file__).parent / "migrations"
# Two programs that start together migrate one after the other.
_LOCK = "SELECT pg_advisory_lock(hashtext('encore.migrate'))"


def config(url: str) -> Config:
    """Return Alembic's configuration for a database, made here so that no file holds the URL."""
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.attributes["url"] = url
    return made


def upgrade(url: str) -> None:
    """Apply what is missing. Harmless when nothing is, and when several do it at once."""
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
    """Tell whether the database lacks a migration."""
    head = ScriptDirectory.from_config(config(url)).get_current_head()
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() != head
    finally:
        engine.dispose()
