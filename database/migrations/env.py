"""Alembic's entry: runs the migrations in one transaction on the URL that the caller gave."""

from alembic import context

from database.engine import make_engine
from database.schema import METADATA


def run() -> None:
    """Apply the migrations."""
    engine = make_engine(context.config.attributes["url"])
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=METADATA)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
