"""Commands of rejected records: ``encore rejected list``, ``show`` and ``replay``."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encore.errors import EncoreError
from encore.events import Reason

if TYPE_CHECKING:
    from psycopg2 import extensions

    from database.rejected.compose import Record
    from database.rejected.edits import Edits
    from database.rejected.replay import Meant, Replay, Selection
    from database.rejected.rows import Filters
    from database.rejected.sending import Delivered

app = typer.Typer(no_args_is_help=True, help="Look at rejected records, and send them again.")

APPLICATION = "encore rejected"
ROWS_SHOWN = 20
SAMPLES = 3
INTERRUPTED = 130

OfReason = Annotated[Reason | None, typer.Option("--reason", help="Only with this reason.")]
OfField = Annotated[str | None, typer.Option("--field", help="Only about this field.")]
OfTopic = Annotated[str | None, typer.Option("--topic", help="Only of this topic.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Only what arrived in Kafka within a span: 2h.")
]
Limit = Annotated[int | None, typer.Option("--limit", help="At most so many records.", min=1)]


@app.command("list")
def list_command(
    reason: OfReason = None,
    field: OfField = None,
    topic: OfTopic = None,
    since: Since = None,
    replayed: Annotated[
        bool, typer.Option("--all/--not-replayed", help="With those that were sent again.")
    ] = False,
    rows: Annotated[bool, typer.Option("--rows", help="Print the records beside.")] = False,
    limit: Limit = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each record as a line of JSON, for replay --from.")
    ] = False,
) -> None:
    """Count rejected records by topic, reason and field; print them with --rows or --json."""
    from database.rejected.lines import line_of
    from database.rejected.rows import read

    filters = _filters(reason, field, topic, since, replayed=replayed)
    with _database() as connection:
        if as_json:
            for row in read(connection, filters, limit=limit):
                typer.echo(line_of(row))
        else:
            _print_tables(connection, filters, limit or ROWS_SHOWN, rows=rows)


@app.command("show")
def show_command(
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET")],
) -> None:
    """Print everything about one rejected record."""
    from database.rejected.places import Place
    from database.rejected.rows import find
    from streaming.rejected.view import details

    wanted = Place.parse(place)
    with _database() as connection, connection.cursor() as cursor:
        found = find(cursor, wanted)
    if not found:
        raise EncoreError(
            f"there is no rejected record at {wanted}: `encore rejected list --all --rows` "
            "lists their places."
        )
    for number, row in enumerate(found):
        if number:
            typer.echo()
        for line in details(row):
            typer.echo(line)


@app.command("replay")
def replay_command(
    reason: OfReason = None,
    field: OfField = None,
    topic: OfTopic = None,
    since: Since = None,
    limit: Limit = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", help="Edited lines of `list --json`: these records and no others."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=JSON", help="Set a field. May be repeated."),
    ] = None,
    drops: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="FIELD", help="Leave a field out. May be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; tell what would be sent.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    delivery_timeout: Annotated[
        float, typer.Option(help="Seconds within which a record must be acknowledged.", min=2)
    ] = 60.0,
) -> None:
    """Send rejected records to their topic again, as they were or edited, each once."""
    from database.rejected.edits import Edits
    from database.rejected.replay import ByFile, ByFilters

    edits = Edits.parse(sets or (), drops or ())
    given = (reason, field, topic, since, limit)
    if file is not None and any(one is not None for one in given):
        raise EncoreError("--from names its records itself: leave the filters and --limit out.")
    filters = _filters(reason, field, topic, since)
    with _database() as connection:
        selection = ByFile(file) if file is not None else ByFilters(filters, limit)
        meant = _meant(connection, selection)
        edits.check(meant.names, meant.waiting)
        if dry_run:
            _preview(connection, selection, edits, meant)
        else:
            _replay(connection, selection, edits, meant, yes=yes, seconds=delivery_timeout)


def _print_tables(
    connection: "extensions.connection", filters: "Filters", limit: int, *, rows: bool
) -> None:
    from database.rejected.rows import read, summary
    from encore.console import console
    from streaming.rejected.view import CUT_BYTES, rows_table, summary_table

    printed = console()
    with connection.cursor() as cursor:
        groups = summary(cursor, filters)
    if not groups:
        typer.echo("there are no such rejected records")
        return
    printed.print(summary_table(groups, replayed=filters.replayed))
    if rows:
        found = list(islice(read(connection, filters, limit=limit, cut=CUT_BYTES), limit))
        printed.print(rows_table(found))
        hidden = sum(one.count for one in groups) - len(found)
        if hidden:
            typer.echo(f"{hidden} more: --limit shows more of them, --json all")


def _meant(connection: "extensions.connection", selection: "Selection") -> "Meant":
    with connection, connection.cursor() as cursor:
        return selection.meant(cursor)


def _replay(
    connection: "extensions.connection",
    selection: "Selection",
    edits: "Edits",
    meant: "Meant",
    *,
    yes: bool,
    seconds: float,
) -> None:
    from database.rejected.replay import Replay, check_delivered, stopping_on_signals
    from database.rejected.sending import check_topics, sender
    from encore.stack.endpoints import kafka_bootstrap_servers

    bootstrap = kafka_bootstrap_servers()
    check_topics(bootstrap, meant.topics)
    if meant.waiting and not yes:
        _confirm(meant, bootstrap)
    with sender(bootstrap, seconds) as kafka, stopping_on_signals() as stopped:
        replay = Replay(connection, selection, edits, kafka.deliver)
        try:
            replay.run(meant, stopped)
        finally:
            _print_summary(replay)
    check_delivered(replay.tally)
    if stopped():
        raise typer.Exit(INTERRUPTED)


def _print_summary(replay: "Replay") -> None:
    typer.echo(json.dumps(replay.tally.as_dict()))


def _preview(
    connection: "extensions.connection", selection: "Selection", edits: "Edits", meant: "Meant"
) -> None:
    """Do all but send: print the first records and the counts."""
    from database.rejected.replay import Replay
    from database.rejected.sending import Delivered
    from streaming.rejected.view import cut

    would_send = 0

    def tell(records: "Sequence[Record]") -> "Delivered":
        nonlocal would_send
        for record in records[: max(0, SAMPLES - would_send)]:
            typer.echo(f"{record.place} key {cut(record.key)}: {cut(record.value)}", err=True)
        would_send += len(records)
        return Delivered()

    tally = Replay(connection, selection, edits, tell).run(meant)
    typer.echo(json.dumps({"would_send": would_send, "skipped": dict(tally.skipped)}))


def _confirm(meant: "Meant", bootstrap: str) -> None:
    question = f"Send {meant.waiting} records to {', '.join(meant.names)} at {bootstrap} again?"
    if not sys.stdin.isatty():
        raise EncoreError(f"{question} Nobody can answer here: say --yes, or look with --dry-run.")
    if not typer.confirm(question):
        raise EncoreError("nothing was sent.")


def _filters(
    reason: Reason | None,
    field: str | None,
    topic: str | None,
    since: str | None,
    *,
    replayed: bool = False,
) -> "Filters":
    from database.rejected.rows import Filters
    from encore.spans import parse_span

    moment = datetime.now(UTC) - parse_span(since) if since is not None else None
    return Filters(reason.value if reason else None, field, topic, moment, replayed=replayed)


@contextmanager
def _database() -> "Iterator[extensions.connection]":
    """Yield a connection to a database with the newest schema.

    Raises:
        EncoreError: the database does not answer, or lacks a migration.
    """
    from database.engine import connect
    from database.migrate import require_newest
    from encore.stack.endpoints import database_url

    url = database_url()
    connection = connect(url, application_name=APPLICATION)
    try:
        require_newest(url)
        yield connection
    finally:
        connection.close()
