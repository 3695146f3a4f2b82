"""Where the services are: given by the settings, else recorded by the local stack."""

from urllib.parse import quote, urlsplit, urlunsplit

from encore.errors import ServiceUnavailableError
from encore.settings import settings
from encore.stack import layout
from encore.stack.credentials import redis_password, user_password
from encore.stack.process import find
from encore.stack.state import read_state

HIDDEN = "********"


def kafka_bootstrap_servers() -> str:
    """Return the brokers as host:port[,host:port].

    Raises:
        ServiceUnavailableError: none are given and no local Kafka was ever started.
    """
    given = settings().kafka_bootstrap_servers
    return given or f"{layout.HOST}:{_recorded_port('kafka', 'KAFKA_BOOTSTRAP_SERVERS')}"


def database_url() -> str:
    """Return the database as ``postgresql://user:password@host:port/database``. A secret.

    Raises:
        ServiceUnavailableError: none is given and no local PostgreSQL was ever started.
    """
    given = settings().database_url.get_secret_value()
    return given or local_database_url(_recorded_port("postgres", "DATABASE_URL"))


def local_database_url(port: int, database: str | None = None) -> str:
    """Return the URL of a database on the local PostgreSQL, by default of ``POSTGRES_DB``."""
    current = settings()
    user, password = quote(current.postgres_user, safe=""), quote(_password(), safe="")
    name = quote(database or current.postgres_db, safe="")
    return f"postgresql://{user}:{password}@{layout.HOST}:{port}/{name}"


def redis_url() -> str:
    """Return Redis as ``redis://:password@host:port``, or nothing where there is none. A secret."""
    given = settings().redis_url.get_secret_value()
    return given or own_redis_url()


def own_redis_url() -> str:
    """Return the local stack's Redis, or nothing where it does not run: the API can do without."""
    state = read_state(layout.state_file("redis"))
    if state is None or find(state.pid, state.created) is None:
        return ""
    return f"redis://:{quote(redis_password(), safe='')}@{layout.HOST}:{state.port}"


def redact_url(url: str) -> str:
    """Return the URL with its password hidden, fit for a log."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.split(':', 1)[0]}:{HIDDEN}@{host}"))


def _password() -> str:
    try:
        return user_password()
    except PermissionError as error:
        raise ServiceUnavailableError(
            f"the local stack belongs to another user: {error.filename} is closed to you. "
            "Set ENCORE_HOME to a folder of your own, or DATABASE_URL."
        ) from None


def _recorded_port(service: str, variable: str) -> int:
    state = read_state(layout.state_file(service))
    if state is None:
        raise ServiceUnavailableError(
            f"there is no {service} here yet. Start it with `encore up {service}`, "
            f"or set {variable} to one that runs."
        )
    return state.port
