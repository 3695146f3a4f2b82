"""Commands of the producer: produce, replay."""

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encore.errors import EncoreError

if TYPE_CHECKING:
    from producer.lists import ListsReader
    from producer.plan import Plan
    from producer.publishing import Sink
    from producer.tally import Tally

app = typer.Typer()

KAFKA_WAIT_SECONDS = 600.0

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the summary to this file.")]
Output = Annotated[
    Path | None,
    typer.Option(help="Write topic, key and value as lines to this file instead of Kafka."),
]
Delivery = Annotated[
    float, typer.Option(help="Seconds within which a record must be acknowledged.", min=2)
]


@app.command()
def produce(
    rate: Annotated[float, typer.Option(help="Live event records a second.")] = 500.0,
    history: Annotated[str, typer.Option(help="Span of history sent first, such as 14d.")] = "14d",
    seed: Annotated[int, typer.Option(help="The same arguments give the same bytes.")] = 7,
    late: Annotated[float, typer.Option(help="Share handed over minutes to hours late.")] = 0.01,
    duplicates: Annotated[float, typer.Option(help="Share that comes twice.")] = 0.005,
    malformed: Annotated[float, typer.Option(help="Share of broken copies beside.")] = 0.001,
    until: Annotated[
        str | None, typer.Option(help="End: ISO time, epoch ms, or a span of live such as 2m.")
    ] = None,
    users: Annotated[int, typer.Option(help="Listeners.")] = 5_000,
    tracks: Annotated[int, typer.Option(help="Tracks.")] = 20_000,
    live_from: Annotated[
        str | None, typer.Option(help="When live begins: ISO time or epoch ms. Default: now.")
    ] = None,
    max_events: Annotated[int | None, typer.Option(help="End after so many events.")] = None,
    history_events: Annotated[
        int | None, typer.Option(help="Scale activity to about so many events of history.")
    ] = None,
    away: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FROM/TO",
            help="Go on where an earlier run stopped: it produced until FROM, this one does "
            "from TO. May be repeated, in order.",
        ),
    ] = None,
    from_lists: Annotated[
        float,
        typer.Option(
            help="Share of live plays for which listeners look at their recommendations, which "
            "are read from PostgreSQL. Then no run is like another.",
        ),
    ] = 0.0,
    entities: Annotated[
        bool, typer.Option("--entities/--no-entities", help="Send users and items too.")
    ] = True,
    output: Output = None,
    quiet: Quiet = False,
    summary_json: Json = None,
    delivery_timeout: Delivery = 300.0,
) -> None:
    """Send synthetic listeners' history at full speed, then their life at a steady rate."""
    from encore.log import get_logger
    from producer.plan import Plan
    from producer.spans import iso, parse_away, parse_moment, span_ms
    from producer.stream import Stream
    from producer.timeline import live_pace

    now = int(time.time()) * 1000
    live_from_ms = parse_moment(live_from, now) if live_from else now
    plan = Plan(
        live_from_ms=live_from_ms,
        history_ms=span_ms(history),
        seed=seed,
        users=users,
        tracks=tracks,
        rate=rate,
        late=late,
        duplicates=duplicates,
        malformed=malformed,
        until_ms=None if until is None else parse_moment(until, live_from_ms),
        max_events=max_events,
        history_events=history_events,
        away=tuple(parse_away(span) for span in away or ()),
        from_lists=from_lists,
    )
    command = _command(plan, entities=entities)
    pace = live_pace(plan)
    get_logger("producer").info(
        "producing",
        history_from=iso(plan.begin_ms),
        online=round(pace.online),
        time_lapse=f"x{pace.time_lapse:.3g}",
        repeat_with=command,
    )
    with _lists(plan) as lists:
        blocks = Stream(plan, lists).blocks(entities=entities)
        tally, failure = _run(blocks, output, delivery_timeout, plan.max_events, quiet=quiet)
    _finish(tally, failure, {"live_from": iso(live_from_ms), "command": command}, summary_json)


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(help="Recorded logs, in order; .gz is read too.")],
    log_format: Annotated[
        str, typer.Option("--format", help="Format of the files: eventsim.")
    ] = "eventsim",
    speed: Annotated[
        str, typer.Option(help="max, or times as fast as recorded such as 60x.")
    ] = "max",
    output: Output = None,
    quiet: Quiet = False,
    summary_json: Json = None,
    delivery_timeout: Delivery = 300.0,
) -> None:
    """Send somebody else's recorded events, with their own times, through the same topics."""
    from producer.replay import Replay, parse_speed, read_lines

    if log_format != "eventsim":
        raise EncoreError(f"--format {log_format!r} is not known: eventsim is.")
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise EncoreError(f"no such file: {', '.join(missing)}.")
    recorded = Replay(read_lines(files))
    blocks = recorded.blocks(parse_speed(speed), int(time.time() * 1000))
    tally, failure = _run(blocks, output, delivery_timeout, None, quiet=quiet)
    _finish(tally, failure, {"replayed": recorded.counts.as_dict()}, summary_json)


@contextmanager
def _lists(plan: "Plan") -> "Iterator[ListsReader | None]":
    """Read what listeners are recommended, if they are to look at it."""
    if not plan.from_lists:
        yield None
        return
    from encore.stack.endpoints import database_url
    from producer.lists import ListsReader

    with ListsReader(database_url()).reading() as reader:
        yield reader


def _run(
    blocks: Any, output: Path | None, delivery_seconds: float, total: int | None, *, quiet: bool
) -> "tuple[Tally, EncoreError | None]":
    """Run the blocks into the sink; return the tally and the error of what was not delivered."""
    from encore.errors import DeliveryError
    from producer.progress import reporting
    from producer.run import check_delivered, run, stopping_on_signals

    with reporting(total, quiet=quiet) as report:
        sink = _sink(output, delivery_seconds)
        with stopping_on_signals() as stop:
            tally = run(blocks, sink, stop, report)
    try:
        check_delivered(tally)
    except DeliveryError as error:
        return tally, error
    return tally, None


def _sink(output: Path | None, delivery_seconds: float) -> "Sink":
    from encore.settings import settings

    topics = settings().topics
    if output is not None:
        from producer.file_sink import FileSink

        return FileSink(output, topics)
    from encore.stack.endpoints import kafka_bootstrap_servers
    from encore.topics import ensure_topics, wait_for_kafka
    from producer.publishing import GRACE_SECONDS, KafkaSink, connect

    bootstrap = kafka_bootstrap_servers()
    wait_for_kafka(bootstrap, KAFKA_WAIT_SECONDS)
    ensure_topics(bootstrap, topics, settings())
    producer = connect(bootstrap, delivery_seconds)
    return KafkaSink(producer, topics, patience_seconds=delivery_seconds + GRACE_SECONDS)


def _finish(
    tally: "Tally", failure: EncoreError | None, more: dict[str, Any], summary_json: Path | None
) -> None:
    """Print the summary, write it if asked to, and raise the failure if there is one."""
    from encore.settings import settings

    summary = tally.as_dict(settings().topics) | more
    if summary_json is not None:
        summary_json.write_text(json.dumps(summary, indent=2) + "\n")
    typer.echo(json.dumps(summary))
    if failure is not None:
        raise failure


def _command(plan: "Plan", *, entities: bool) -> str:
    """Return the command line that repeats this run byte for byte."""
    from producer.spans import iso

    words = ["encore", "produce", f"--rate={plan.rate:g}", f"--history={plan.history_ms}ms"]
    words += [f"--{name}={getattr(plan, name)}" for name in ("seed", "users", "tracks")]
    words += [f"--{name}={getattr(plan, name):g}" for name in ("late", "duplicates", "malformed")]
    words.append(f"--live-from={iso(plan.live_from_ms)}")
    if plan.until_ms is not None:
        words.append(f"--until={iso(plan.until_ms)}")
    for name in ("max_events", "history_events"):
        if getattr(plan, name) is not None:
            words.append(f"--{name.replace('_', '-')}={getattr(plan, name)}")
    if plan.from_lists:
        words.append(f"--from-lists={plan.from_lists:g}")
    words += [f"--away={iso(begin)}/{iso(end)}" for begin, end in plan.away]
    return shlex.join(words if entities else [*words, "--no-entities"])
