"""The rows of ``model_runs``: one for every attempt to make recommendations."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2.extensions
from psycopg2.extras import Json, RealDictCursor

from database.engine import connect, transaction
from encore.errors import EncoreError

APPLICATION_NAME = "encore train"
MESSAGE_LENGTH = 1000
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext('encore.train'))"


@dataclass(frozen=True, slots=True)
class Training:
    """What a run was made from, and how good it proved to be."""

    algorithm: str
    users: int
    items: int
    interactions: int
    data_from: datetime | None
    data_to: datetime | None
    metrics: Mapping[str, Any] | None
    message: str | None


@contextmanager
def only_one_training(url: str) -> Iterator[None]:
    """Keep a second training away from the same database, and close what a dead one left open.

    Raises:
        EncoreError: another training holds the database.
    """
    with no_training(url) as cursor:
        cursor.execute(
            "UPDATE model_runs SET status = 'failed', message = 'ended without finishing'"
            " WHERE status = 'running'"
        )
        yield


@contextmanager
def no_training(url: str) -> Iterator[psycopg2.extensions.cursor]:
    """Keep trainings away from a database; yield a cursor of the session that does.

    Raises:
        EncoreError: a training holds the database.
    """
    connection = connect(url, application_name=APPLICATION_NAME)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(_TRY_LOCK)
            if not (cursor.fetchone() or (False,))[0]:
                raise EncoreError(
                    "another training is running on this database. Wait for it to end: "
                    "`encore runs` shows it."
                )
            yield cursor
    finally:
        connection.close()


def start_run(url: str, algorithm: str, parameters: Mapping[str, Any]) -> int:
    """Open a run and return its number."""
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        cursor.execute(
            "INSERT INTO model_runs (algorithm, status, parameters)"
            " VALUES (%s, 'running', %s) RETURNING model_run_id",
            (algorithm, Json(dict(parameters))),
        )
        return int((cursor.fetchone() or (0,))[0])


def record_training(url: str, model_run_id: int, training: Training) -> None:
    """Write what the run was made from. It stays ``running`` until readers are switched to it."""
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        cursor.execute(
            "UPDATE model_runs SET algorithm = %s, users = %s, items = %s, interactions = %s,"
            " data_from = %s, data_to = %s, metrics = %s, message = %s WHERE model_run_id = %s",
            (
                training.algorithm,
                training.users,
                training.items,
                training.interactions,
                training.data_from,
                training.data_to,
                Json(dict(training.metrics)) if training.metrics is not None else None,
                training.message,
                model_run_id,
            ),
        )


def fail_run(url: str, model_run_id: int, message: str, status: str = "failed") -> None:
    """Close a run that will not be published: ``failed``, or ``refused`` by the gate."""
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        cursor.execute(
            "UPDATE model_runs SET status = %s, message = %s,"
            " duration_seconds = extract(epoch FROM clock_timestamp() - started_at)"
            " WHERE model_run_id = %s AND status = 'running'",
            (status, message[:MESSAGE_LENGTH], model_run_id),
        )


def published_run(cursor: psycopg2.extensions.cursor) -> dict[str, Any] | None:
    """Return the row of the run that readers see, or None before the first."""
    with cursor.connection.cursor(cursor_factory=RealDictCursor) as rows:
        rows.execute("SELECT m.* FROM model_runs AS m JOIN published_run USING (model_run_id)")
        row = rows.fetchone()
    return dict(row) if row else None


def list_runs(cursor: psycopg2.extensions.cursor) -> list[dict[str, Any]]:
    """Return the rows of all runs, newest first."""
    with cursor.connection.cursor(cursor_factory=RealDictCursor) as rows:
        rows.execute("SELECT * FROM model_runs ORDER BY model_run_id DESC")
        return [dict(row) for row in rows]
