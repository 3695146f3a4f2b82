"""Commands of the database: ``encore migrate``."""

import typer

from encore.stack.endpoints import database_url, redact_url

app = typer.Typer()


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from database.migrate import upgrade

    url = database_url()
    upgrade(url)
    typer.echo(f"{redact_url(url)} has the newest schema")
