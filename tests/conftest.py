"""Real services for the tests, started by the project's own stack in a folder of their own.

Whatever brokers and databases the caller's environment or ``.env`` name are left alone.
"""

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from psycopg2 import extensions

    from encore.events import Topics

# A JVM that lives for seconds spends most of them compiling, and needs no threads for its garbage.
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SERVICE_VARIABLES = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "POSTGRES_PASSWORD", "REDIS_URL")


@pytest.fixture(scope="session", autouse=True)
def isolated_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point every setting that names a service or a folder at this run's own; return its home.

    Every JVM that a test starts inherits options for a short life.
    """
    from encore.settings import Settings, settings

    home = tmp_path_factory.mktemp("encore-home")
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            if name not in {"encore_cache", "log_level"}:
                patch.delenv(name.upper(), raising=False)
        for name in SERVICE_VARIABLES:
            patch.setenv(name, "")  # goes before .env
        patch.setenv("ENCORE_HOME", str(home))
        patch.setenv("JDK_JAVA_OPTIONS", QUICK_JVM)
        # Test runs side by side (pytest-xdist) would look at the same port at the same moment.
        beside = 10 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        for name in ("kafka_port", "postgres_port", "redis_port"):
            patch.setenv(name.upper(), str(Settings.model_fields[name].default + beside))
        settings.cache_clear()
        yield home
    settings.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Undo an ignored SIGINT, which a shell's background job inherits and would pass on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka(isolated_settings: Path) -> Iterator[str]:
    """Start a Kafka of this run's own; return its bootstrap servers."""
    from encore.stack import local
    from encore.stack.endpoints import kafka_bootstrap_servers

    try:
        local.up(["kafka"])
        yield kafka_bootstrap_servers()
    finally:
        local.wipe(["kafka"])


@pytest.fixture(scope="session")
def postgres_url(isolated_settings: Path) -> Iterator[str]:
    """Start a PostgreSQL of this run's own; return the URL of its first database."""
    from encore.stack import local
    from encore.stack.endpoints import database_url as recorded_url

    try:
        local.up(["postgres"])
        yield recorded_url()
    finally:
        local.wipe(["postgres"])


@pytest.fixture(scope="module")
def redis_url(isolated_settings: Path) -> Iterator[str]:
    """Start a Redis for the tests of one file; return its URL, password included."""
    from encore.stack import local
    from encore.stack.endpoints import redis_url as recorded_url
    from encore.stack.redis_server import has_redis

    if not has_redis():
        pytest.skip("there is no redis-server on this machine")
    try:
        local.up(["redis"])
        yield recorded_url()
    finally:
        local.wipe(["redis"])


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """Make an empty database for one test; return its URL."""
    with empty_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
def shared_database_url(postgres_url: str) -> Iterator[str]:
    """Make an empty database for the tests of one file; return its URL."""
    with empty_database(postgres_url) as url:
        yield url


@contextmanager
def empty_database(postgres_url: str) -> Iterator[str]:
    """Make an empty database until the end of the block; yield its URL."""
    from contextlib import closing
    from urllib.parse import urlsplit

    import psycopg2
    from psycopg2 import sql

    name = f"test_{uuid.uuid4().hex[:12]}"
    with closing(psycopg2.connect(postgres_url)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            try:
                yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
            finally:
                _drop_database(cursor, name)


def _drop_database(cursor: "extensions.cursor", name: str) -> None:
    """Drop a database; only a superuser could end autovacuum's worker in it, so wait for that."""
    import psycopg2
    from psycopg2 import sql

    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    deadline = time.monotonic() + 30
    while True:
        try:
            cursor.execute(drop)
        except psycopg2.errors.InsufficientPrivilege:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def topics(kafka: str) -> Iterator["Topics"]:
    """Create topics for one test, with the partitions of the settings; return their names."""
    with _topics(kafka) as made:
        yield made


@pytest.fixture(scope="module")
def shared_topics(kafka: str) -> Iterator["Topics"]:
    """Create topics for the tests of one file; return their names."""
    with _topics(kafka) as made:
        yield made


@contextmanager
def _topics(kafka: str) -> Iterator["Topics"]:
    from encore.events import Topics
    from encore.settings import settings
    from encore.topics import admin_client, ensure_topics

    prefix = f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    made = Topics(f"{prefix}.events", f"{prefix}.users", f"{prefix}.items")
    ensure_topics(kafka, made, settings())
    yield made
    with admin_client(kafka) as admin:
        admin.delete_topics(list(made.all()))
