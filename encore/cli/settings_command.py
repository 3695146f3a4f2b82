"""``encore settings``: every setting with its value, default, unit and source."""

import json
import textwrap
from typing import Annotated

import typer
from rich.table import Table

from encore.console import console
from encore.settings import SettingRow, describe_settings, settings

app = typer.Typer()


@app.command("settings")
def show_settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Print .env.example.")] = False,
) -> None:
    """Print every setting: value, default, unit and source. Secrets are hidden."""
    rows = describe_settings(settings())
    if example:
        typer.echo(env_example(rows), nl=False)
    elif as_json:
        typer.echo(json.dumps([row._asdict() for row in rows], indent=2))
    else:
        console().print(_table(rows))


def env_example(rows: list[SettingRow]) -> str:
    """Return ``.env.example``: every setting with meaning, unit and default, commented out."""
    lines = [
        "# Settings of Encore. Copy to .env and uncomment what should differ; the environment",
        "# goes before .env. Made by `encore settings --example`.",
    ]
    for row in rows:
        unit = f" ({row.unit})" if row.unit else ""
        lines += ["", *textwrap.wrap(f"# {row.description}{unit}", 98, subsequent_indent="# ")]
        lines.append(f"# {row.name}={row.default}")
    return "\n".join(lines) + "\n"


def _table(rows: list[SettingRow]) -> Table:
    table = Table("setting", "value", "default", "unit", "source", "meaning")
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    for row in rows:
        style = None if row.source == "default" else "bold"
        table.add_row(*row, style=style)
    return table
