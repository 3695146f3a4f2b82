"""The command line ``encore``: every part's commands, gathered by their entry points."""

import sys
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from encore.cli.settings_command import app as settings_app
from encore.errors import EncoreError
from encore.log import configure_logging
from encore.settings import settings

GROUP = "encore.commands"
INTERRUPTED = 130


def build_app() -> typer.Typer:
    """Gather the commands of every part into one application."""
    app = typer.Typer(
        name="encore",
        help="Real-time event processor and recommender on Kafka, Spark and PostgreSQL.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_global_options)
    app.add_typer(settings_app)
    for entry in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        app.add_typer(entry.load())
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"encore {version('encore')}")
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, help="Print the version and exit.", is_eager=True
    ),
]


def _global_options(show_version: VersionOption = False) -> None:
    """Real-time event processor and recommender on Kafka, Spark and PostgreSQL."""


def main() -> None:
    """Be the console script ``encore``: an error of the user's is one line and an exit code."""
    try:
        current = settings()
        configure_logging(current.log_format, current.log_level)
        build_app()()
    except EncoreError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
