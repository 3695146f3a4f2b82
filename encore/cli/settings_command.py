"""``encore settings``: every setting with its value, default, unit and source."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from encore.settings import SettingRow, describe_settings, settings

app = typer.Typer()


@app.command("settings")
def show_settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every setting: value, default, unit and source. Secrets are hidden."""
    rows = describe_settings(settings())
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in rows], indent=2))
    else:
        Console().print(_table(rows))


def _table(rows: list[SettingRow]) -> Table:
    table = Table("setting", "value", "default", "unit", "source", "meaning", show_lines=False)
    for row in rows:
        style = None if row.source == "default" else "bold"
        table.add_row(*row, style=style)
    return table
