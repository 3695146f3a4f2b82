"""What has to be there before an event can go anywhere: programs, room, services, tables."""

import platform
import shutil
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from psycopg2 import extensions

from database.engine import transaction
from database.migrate import pending
from doctor.api import Api
from doctor.finding import Finding
from encore.errors import EncoreError
from encore.paths import cache_home, encore_home
from encore.settings import Settings
from encore.stack.endpoints import database_url, kafka_bootstrap_servers, redact_url
from encore.stack.java import find_java, java_version
from encore.topics import check_kafka, stamped_by_senders, topic_ids

APPLICATION_NAME = "encore doctor"
LEAST_FREE_BYTES = 2 * 1024**3
LONGEST_OFF_SECONDS = 2.0  # more than networks take; clocks that are kept differ by milliseconds
_SEEN_LATELY = "5 minutes"  # a live worker says every minute that it works


def checks(settings: Settings) -> Iterator[Finding]:
    """Yield what was found, one after the other; nothing is changed.

    Where a service does not answer, what can be asked of it only is left out.
    """
    yield _guarded("programs", _programs)
    yield from _disks()
    kafka = _guarded("Kafka", _kafka)
    yield kafka
    if kafka.well:
        yield _guarded("topics", lambda: _topics(settings))
    postgres = _guarded("PostgreSQL", _postgres)
    yield postgres
    if postgres.well:
        tables = _guarded("migrations", _migrations)
        yield tables
        yield _guarded("clock", lambda: _with_cursor(_clock))
        if tables.well:
            yield _guarded("model", lambda: _with_cursor(_model))
            yield _guarded("live worker", lambda: _with_cursor(_live_worker))
    api = Api.of(settings)
    if api is not None:
        yield api.finding()


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """Return what a check found; an error of ours says itself what to do."""
    try:
        return check()
    except EncoreError as error:
        return Finding(name, well=False, seen=str(error))


def _programs() -> Finding:
    java = find_java()
    seen = (
        f"Python {platform.python_version()}, PySpark {version('pyspark')}, "
        f"Java {java_version(java)} ({java})"
    )
    return Finding("programs", well=True, seen=seen)


def _disks() -> Iterator[Finding]:
    for folder, setting in ((encore_home(), "ENCORE_HOME"), (cache_home(), "ENCORE_CACHE")):
        free = shutil.disk_usage(_existing(folder)).free
        yield Finding(
            "disk",
            free >= LEAST_FREE_BYTES,
            f"{free / 1024**3:.1f} GiB free for {folder}",
            f"Make room, or set {setting} to a folder on a larger disk.",
        )


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())


def _kafka() -> Finding:
    bootstrap = kafka_bootstrap_servers()
    return Finding("Kafka", well=True, seen=f"{check_kafka(bootstrap)} broker(s) at {bootstrap}")


def _topics(settings: Settings) -> Finding:
    bootstrap, names = kafka_bootstrap_servers(), settings.topics.all()
    topic_ids(bootstrap, names)  # tells which one is missing
    theirs = stamped_by_senders(bootstrap, names)
    return Finding(
        "topics",
        not theirs,
        f"stamped by senders: {', '.join(theirs)}" if theirs else ", ".join(names),
        "Set message.timestamp.type=LogAppendTime on them: repeats are told by their arrival.",
    )


def _postgres() -> Finding:
    url = database_url()
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        cursor.execute("SHOW server_version")
        ((server,),) = cursor.fetchall()
    return Finding("PostgreSQL", well=True, seen=f"{server} at {redact_url(url)}")


def _migrations() -> Finding:
    missing = pending(database_url())
    return Finding(
        "migrations",
        not missing,
        "the tables are older than this Encore" if missing else "the tables are the newest",
        "Run `encore migrate`.",
    )


def _clock(cursor: extensions.cursor) -> Finding:
    before = time.time()
    cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
    ((theirs,),) = cursor.fetchall()
    off = abs(theirs - (before + time.time()) / 2)
    return Finding(
        "clock",
        off <= LONGEST_OFF_SECONDS,
        f"{off:.3f} s between this machine and PostgreSQL's",
        "Let both machines keep their clocks by NTP: events from the future are rejected.",
    )


def _model(cursor: extensions.cursor) -> Finding:
    cursor.execute(
        "SELECT r.model_run_id, r.algorithm, date_trunc('second', now() - r.published_at)::text "
        "FROM published_run JOIN model_runs AS r USING (model_run_id)"
    )
    found = cursor.fetchone()
    seen = f"run {found[0]} ({found[1]}), published {found[2]} ago" if found else "none published"
    return Finding("model", found is not None, seen, "Run `encore train`.")


def _live_worker(cursor: extensions.cursor) -> Finding:
    cursor.execute(
        "SELECT count(*), (SELECT count(*) FROM live_queue) FROM live_workers "
        "WHERE caught_up AND seen_at > now() - %s::interval",
        (_SEEN_LATELY,),
    )
    ((workers, queued),) = cursor.fetchall()
    seen = f"{workers} at work, {queued} rows queued"
    return Finding("live worker", workers > 0, seen, "Run `encore live` beside the stream.")


def _with_cursor(check: Callable[[extensions.cursor], Finding]) -> Finding:
    with transaction(database_url(), application_name=APPLICATION_NAME) as cursor:
        return check(cursor)
