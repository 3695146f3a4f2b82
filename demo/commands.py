"""Commands of the demo: ``encore demo`` and ``encore soak``."""

from pathlib import Path
from typing import Annotated

import typer

from encore.errors import EncoreError

app = typer.Typer()


@app.command()
def demo(
    run_for: Annotated[
        str | None,
        typer.Option(
            "--for",
            help="End by itself after this long, such as 120s, once there are recommendations.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--json", help="Write the report of --for to this file.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the local stack's data and begin anew.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(help="Live events a second. Default: 200.", min=0.1)
    ] = None,
    users: Annotated[int | None, typer.Option(help="Listeners. Default: 5000.", min=1)] = None,
    tracks: Annotated[int | None, typer.Option(help="Tracks. Default: 20000.", min=1)] = None,
    history: Annotated[
        str | None, typer.Option(help="Span of history sent first. Default: 14d.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Another seed is another world. Default: 7.", min=0)
    ] = None,
    listener: Annotated[
        str | None, typer.Option(help="Whom to watch, such as u42. Default: who is active.")
    ] = None,
) -> None:
    """Show the whole loop live: produce, stream, train, recommend. Ctrl-C stops all of it."""
    from demo.pipeline import Options
    from demo.run import run_demo
    from encore.spans import parse_span

    if report is not None and run_for is None:
        raise EncoreError(
            "--json is the report of a demo that ends: add --for, such as --for 120s."
        )
    world = {"rate": rate, "users": users, "tracks": tracks, "history": history, "seed": seed}
    options = Options(
        world=world,
        run_for=parse_span(run_for).total_seconds() if run_for else None,
        fresh=fresh,
        listener=listener,
    )
    run_demo(options, report)


@app.command()
def soak(
    run_for: Annotated[str, typer.Option("--for", help="How long, such as 10m.")] = "10m",
    faults: Annotated[str, typer.Option(help="A fault every so often, such as 30s.")] = "30s",
    rate: Annotated[float, typer.Option(help="Events a second.", min=1)] = 500,
    poison: Annotated[float, typer.Option(help="Of them broken, a second.", min=0)] = 50,
    duplicates: Annotated[float, typer.Option(help="Share that comes twice.")] = 0.05,
    late: Annotated[float, typer.Option(help="Share that comes late.")] = 0.05,
    seed: Annotated[
        int | None, typer.Option(help="Repeats the faults of a run. Default: another each time.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file.")
    ] = None,
) -> None:
    """Run the pipeline under load and faults on services of its own, then verify every number."""
    import json
    import random

    from demo.soak import Load, run_soak
    from encore.spans import parse_span

    load = Load(
        seconds=parse_span(run_for).total_seconds(),
        fault_seconds=parse_span(faults).total_seconds(),
        rate=rate,
        poison=poison,
        duplicates=duplicates,
        late=late,
        seed=random.randrange(2**31) if seed is None else seed,  # noqa: S311 (not for secrets)
    )
    found = run_soak(load)
    if report is not None:
        report.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(found))
