"""Commands of the API: serve, its keys, and experiments."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from encore.errors import EncoreError
from encore.stack.endpoints import database_url, kafka_bootstrap_servers, redis_url
from serving.keys import Role

if TYPE_CHECKING:
    from psycopg2 import extensions

app = typer.Typer()
keys_app = typer.Typer(no_args_is_help=True)
users_app = typer.Typer(no_args_is_help=True)
app.add_typer(keys_app, name="keys", help="Keys of the API: make, list, revoke.")
app.add_typer(users_app, name="users", help="Listeners: delete.")

experiments_app = typer.Typer(no_args_is_help=True)
app.add_typer(experiments_app, name="experiment", help="Experiments: make, list, results, stop.")
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address. Default: SERVE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port. Default: SERVE_PORT.")] = None,
    print_openapi: Annotated[
        bool, typer.Option("--print-openapi", help="Print the OpenAPI document and exit.")
    ] = False,
) -> None:
    """Answer HTTP requests for recommendations, and take in events, until stopped."""
    from encore.settings import settings
    from serving.app import create_app

    if print_openapi:
        document = create_app(settings(), "", "").openapi()
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    from serving.server import run

    current = settings()
    run(
        current,
        database_url(),
        kafka_bootstrap_servers(),
        redis_url(),
        host=host or current.serve_host,
        port=current.serve_port if port is None else port,
    )


@keys_app.command("make")
def make_key(
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.READ,
) -> None:
    """Make a key and print it, this once: only its digest is kept."""
    from serving.keys import make

    with _database() as cursor:
        made = make(cursor, name, role)
    typer.echo(made)


@keys_app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the keys there are, and which were revoked."""
    from rich.table import Table

    from encore.console import console
    from serving.keys import every

    with _database() as cursor:
        found = every(cursor)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, default=str))
        return
    table = Table("id", "name", "role", "made", "revoked")
    for one in found:
        revoked = f"{one.revoked_at:%Y-%m-%d %H:%M:%S}" if one.revoked_at else ""
        table.add_row(
            one.key_id, one.name, one.role.value, f"{one.created_at:%Y-%m-%d %H:%M:%S}", revoked
        )
    console().print(table)


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Its id, as `encore keys list` shows it.")],
) -> None:
    """Let a key count no more, within SERVE_KEY_SECONDS."""
    from serving.keys import revoke

    with _database() as cursor:
        revoke(cursor, key_id)
    typer.echo(f"{key_id} is revoked")


@experiments_app.command("make")
def make_experiment(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    variant: Annotated[
        list[str],
        typer.Option(
            metavar="NAME[:OPTION=VALUE,…]",
            help="A variant, twice or more; the others are compared with the first. Options: run "
            "(the lists of that model run, as they were made), max_per_artist, max_per_genre, "
            "without (sources, with + between them), share.",
        ),
    ],
) -> None:
    """Begin an experiment: each listener is shown one of the variants, by a hash of their id."""
    from serving.experiments import make, parse

    variants = parse(name, variant)
    with _database() as cursor:
        make(cursor, name, variants)
    shares = (f"{one.name} to {(one.bucket_to - one.bucket_from) / 100:g} %" for one in variants)
    typer.echo(f"experiment {name} runs: {', '.join(shares)}")


@experiments_app.command("list")
def list_experiments(as_json: _AsJson = False) -> None:
    """Print the experiments, and what each variant shows."""
    from encore.console import console
    from serving.experiments import EVERY, of_rows
    from serving.tables import experiments_table

    with _database() as cursor:
        cursor.execute(EVERY)
        found = of_rows(cursor.fetchall())
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, default=str))
    else:
        console().print(experiments_table(found))


@experiments_app.command("results")
def show_results(
    name: Annotated[str, typer.Argument(help="Which experiment.")], as_json: _AsJson = False
) -> None:
    """Print the click-through of each variant, with intervals of 95 %."""
    from encore.console import console
    from serving.experiments import results
    from serving.tables import results_table

    with _database() as cursor:
        found = results(cursor, name)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        console().print(results_table(found))


@experiments_app.command("stop")
def stop_experiment(name: Annotated[str, typer.Argument(help="Which experiment.")]) -> None:
    """End an experiment: everybody is shown the same again. Its results stay."""
    from serving.experiments import stop

    with _database() as cursor:
        stop(cursor, name)
    typer.echo(f"experiment {name} is stopped")


@users_app.command("delete")
def delete_user(
    user_id: Annotated[str, typer.Argument(help="Whom to delete, with all that names them.")],
) -> None:
    """Send the deletion of a listener to Kafka; the stream carries it out."""
    import asyncio

    from encore.errors import UsageError
    from encore.events import MAX_ID_LENGTH
    from encore.settings import settings
    from serving.problems import ProblemError
    from serving.writer import Writer

    if not 0 < len(user_id) <= MAX_ID_LENGTH or "\0" in user_id:
        raise UsageError(f"an id has 1 to {MAX_ID_LENGTH} characters, and no NUL")
    current = settings()
    writer = Writer(kafka_bootstrap_servers(), current)
    try:
        asyncio.run(writer.deliver(current.topics.users, [(user_id.encode(), None)]))
    except ProblemError as error:
        raise EncoreError(f"{error.detail} Start Kafka with `encore up kafka`.") from None
    finally:
        writer.close()
    typer.echo(f"the deletion of {user_id} is in Kafka; `encore stream` carries it out")


@contextmanager
def _database() -> "Iterator[extensions.cursor]":
    """Yield a cursor on the tables of the API.

    Raises:
        EncoreError: they are not there yet.
    """
    from database.engine import transaction
    from database.migrate import require_newest

    url = database_url()
    require_newest(url)
    with transaction(url, application_name="encore keys") as cursor:
        yield cursor
