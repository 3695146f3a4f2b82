"""Commands of the database: ``encore migrate``, ``encore roles``."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import typer

from encore.stack.endpoints import database_url, redact_url

if TYPE_CHECKING:
    from psycopg2 import extensions

app = typer.Typer()


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from database.migrate import upgrade

    url = database_url()
    upgrade(url)
    typer.echo(f"{redact_url(url)} has the newest schema")


@app.command()
def roles() -> None:
    """Make a role for each part in PostgreSQL, with what it needs and no more.

    Those log in whose password is set: POSTGRES_STREAM_PASSWORD, POSTGRES_TRAIN_PASSWORD,
    POSTGRES_SERVE_PASSWORD.
    """
    from database.roles import PARTS, make_roles, passwords, url_of
    from encore.settings import settings

    url = database_url()
    with _administrator(url) as administrator:
        made = make_roles(administrator, url, passwords(settings()))
    for part in PARTS:
        where = redact_url(url_of(url, part.login, "-")) if part in made else "no password is set"
        typer.echo(f"{part.group:<17} {part.commands:<34} {where}")


@contextmanager
def _administrator(url: str) -> "Iterator[extensions.connection]":
    """Connect as whoever may make roles: on the local stack its superuser."""
    from urllib.parse import urlsplit

    from database.engine import connect
    from encore.stack.local import is_external
    from encore.stack.postgres import Postgres

    port = urlsplit(url).port
    if is_external("postgres") or port is None:
        with closing(connect(url, application_name="encore roles")) as session:
            yield session
    else:
        with Postgres().admin(port) as session:
            yield session
