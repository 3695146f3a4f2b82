"""Start, stop and look at the stack: local servers, or those that the settings name."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum

import psycopg2
import redis

from encore.errors import EncoreError, ServiceUnavailableError
from encore.log import get_logger
from encore.settings import settings
from encore.stack import layout
from encore.stack.account import SHARED_ROOT
from encore.stack.broker import Broker
from encore.stack.endpoints import (
    database_url,
    kafka_bootstrap_servers,
    local_database_url,
    own_redis_url,
    redact_url,
    redis_url,
)
from encore.stack.postgres import Postgres
from encore.stack.redis_server import Redis, check_redis
from encore.stack.server import Server
from encore.stack.state import ServerState, exclusive, read_state
from encore.topics import check_kafka

log = get_logger("stack")

SERVICES = ("kafka", "postgres")  # what nothing works without
OPTIONAL = ("redis",)
EVERY = (*SERVICES, *OPTIONAL)
SERVERS: dict[str, Callable[[], Server]] = {"kafka": Broker, "postgres": Postgres, "redis": Redis}


class Health(StrEnum):
    """What a service is doing."""

    RUNNING = "running"
    UNHEALTHY = "unhealthy"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as ``encore status`` shows it. ``endpoint`` holds no password."""

    name: str
    health: Health
    external: bool
    endpoint: str
    detail: str = ""
    pid: int | None = None
    data: str = ""
    log: str = ""


def up(services: Sequence[str] = SERVICES) -> None:
    """Start the services that do not run and wait until each answers a real call.

    A service that the settings name is never started, only asked.

    Raises:
        ServiceUnavailableError: a service does not answer.
    """
    chosen = _checked(services)
    with exclusive(layout.stack_lock(), what="the local stack"):
        for name in chosen:
            if not is_external(name):
                SERVERS[name]().up()
    for name in chosen:
        _require_answer(name)


def down(services: Sequence[str] = EVERY) -> list[str]:
    """Stop the local services that run; return the names of those that did."""
    with exclusive(layout.stack_lock(), what="the local stack"):
        return [
            name for name in reversed(_checked(services)) if not is_external(name) and _down(name)
        ]


def _down(name: str) -> bool:
    stopped = SERVERS[name]().down()
    if name in OPTIONAL:
        layout.state_file(name).unlink(missing_ok=True)  # nobody misses it any more
    return stopped


def wipe(services: Sequence[str] = EVERY) -> None:
    """Stop the local services and delete their data for good."""
    with exclusive(layout.stack_lock(), what="the local stack"):
        for name in reversed(_checked(services)):
            if not is_external(name):
                _wipe(name, SERVERS[name]())


def _wipe(name: str, server: Server) -> None:
    server.down()
    data = server.data_folder()
    shutil.rmtree(data, ignore_errors=True)
    layout.state_file(name).unlink(missing_ok=True)
    if data.parent.parent == SHARED_ROOT:
        shutil.rmtree(data.parent, ignore_errors=True)
    log.info("wiped", service=name, data=str(data))


def status(services: Sequence[str] = ()) -> list[ServiceStatus]:
    """Ask services whether they work: by default all that were named or ever started."""
    chosen = services or (*SERVICES, *(name for name in OPTIONAL if is_wanted(name)))
    return [_status(name) for name in _checked(chosen)]


def is_wanted(name: str) -> bool:
    """Tell whether a service is named by the settings, or was started and not stopped by us."""
    return is_external(name) or layout.state_file(name).exists()


def is_external(name: str) -> bool:
    """Tell whether the settings name a service that is not ours to start and stop.

    What ``encore env`` prints names our own server, which stays ours.
    """
    current = settings()
    given = {
        "kafka": current.kafka_bootstrap_servers,
        "postgres": current.database_url.get_secret_value(),
        "redis": current.redis_url.get_secret_value(),
    }[name]
    return bool(given) and given != _own_endpoint(name)


def _own_endpoint(name: str) -> str | None:
    state = read_state(layout.state_file(name))
    if state is None:
        return None
    if name == "redis":
        return own_redis_url()
    return f"{layout.HOST}:{state.port}" if name == "kafka" else local_database_url(state.port)


def _checked(services: Sequence[str]) -> list[str]:
    unknown = sorted(set(services) - set(EVERY))
    if unknown:
        raise EncoreError(
            f"there is no service {', '.join(unknown)}. Choose from {', '.join(EVERY)}."
        )
    return [name for name in EVERY if name in services]


def _status(name: str) -> ServiceStatus:
    if is_external(name):
        problem = _problem(name)
        health = Health.UNHEALTHY if problem else Health.RUNNING
        return ServiceStatus(name, health, True, redact_url(_endpoint(name)), problem)
    server = SERVERS[name]()
    state = server.running()
    problem = _problem(name) if state else ""
    return ServiceStatus(
        name,
        health=_health(state, problem),
        external=False,
        endpoint=redact_url(_endpoint(name)) if state else "",
        detail=problem,
        pid=state.pid if state else None,
        data=str(server.data_folder()),
        log=str(layout.log_file(name)),
    )


def _health(state: ServerState | None, problem: str) -> Health:
    if state is None:
        return Health.STOPPED
    return Health.UNHEALTHY if problem else Health.RUNNING


def _endpoint(name: str) -> str:
    endpoints = {"kafka": kafka_bootstrap_servers, "postgres": database_url, "redis": redis_url}
    return endpoints[name]()


def _require_answer(name: str) -> None:
    problem = _problem(name)
    if problem:
        raise ServiceUnavailableError(
            f"{name} at {redact_url(_endpoint(name))} does not answer: {problem}"
        )
    log.info("answers", service=name, endpoint=redact_url(_endpoint(name)))


def _problem(name: str) -> str:
    try:
        _CHECKS[name](_endpoint(name))
    except (ServiceUnavailableError, psycopg2.Error, redis.RedisError, OSError) as error:
        return " ".join(str(error).split())
    return ""


def check_database(url: str) -> None:
    """Answer one query; raise ``psycopg2.Error`` if the database does not."""
    with closing(psycopg2.connect(url, connect_timeout=5)) as session, session.cursor() as cursor:
        cursor.execute("SELECT 1")


_CHECKS: dict[str, Callable[[str], object]] = {
    "kafka": check_kafka,
    "postgres": check_database,
    "redis": check_redis,
}
