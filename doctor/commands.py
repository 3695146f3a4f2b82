"""``encore doctor``."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from doctor.finding import Finding
    from doctor.trace import Trace

app = typer.Typer()

NOT_WELL = 1


@app.command()
def doctor(
    hop_seconds: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for each hop.", min=0.1)
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that everything is there, then follow one event to the list that it changes.

    The event is a like by the listener encore-doctor, whom no list of anyone else depends on. With
    DOCTOR_API_KEY it is followed to the answer of the API. Exits 1 where something is not well, and
    says what to do about it.
    """
    from doctor.api import Api
    from doctor.checks import checks
    from doctor.trace import Trace, Tracer
    from encore.settings import settings
    from encore.stack.endpoints import database_url, kafka_bootstrap_servers

    current = settings()
    findings: list[Finding] = []
    for one in checks(current):
        findings.append(one)
        if not as_json:
            typer.echo(_finding_line(one))
    traced = Trace("")
    needed = {"Kafka", "topics", "PostgreSQL", "migrations"}
    if needed <= {one.name for one in findings if one.well}:
        tracer = Tracer(
            kafka_bootstrap_servers(),
            database_url(),
            current.topics.events,
            hop_seconds,
            Api.of(current),
        )
        traced = tracer.follow()
    if as_json:
        typer.echo(json.dumps({"checks": [asdict(one) for one in findings], **asdict(traced)}))
    else:
        _print_trace(traced)
    if traced.stopped or not traced.hops or not all(one.well for one in findings):
        raise typer.Exit(NOT_WELL)


def _print_trace(traced: "Trace") -> None:
    if not traced.event_id:
        typer.echo("\nNo event was sent: first mend what is marked above.")
        return
    typer.echo(f"\nevent {traced.event_id}")
    for hop in traced.hops:
        typer.echo(f"  {hop.seconds:8.3f} s  {hop.name:<21}{hop.seen}")
    if traced.stopped:
        typer.echo(_finding_line(traced.stopped))


def _finding_line(one: "Finding") -> str:
    mark = "ok " if one.well else "BAD"
    advice = "" if one.well or not one.advice else f"\n     {one.advice}"
    return f"{mark}  {one.name:<13}{one.seen}{advice}"
