"""The process that answers: uvicorn, until SIGTERM or Ctrl-C."""

import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from encore.errors import EncoreError, ServiceUnavailableError
from encore.log import get_logger
from encore.settings import Settings, redacted
from encore.stack.endpoints import redact_url
from serving.app import create_app

log = get_logger("serving")


def run(
    settings: Settings, database_url: str, kafka: str, redis: str, *, host: str, port: int
) -> None:
    """Answer requests until stopped; ``redis`` is empty where there is none.

    Raises:
        EncoreError: the port is taken, or PostgreSQL lacks tables.
    """
    _check_tables(database_url)
    listening = _listen(host, port)
    place = "http://{}:{}".format(*listening.getsockname()[:2])
    log.info("settings", **redacted(settings))
    log.info(
        "starting",
        at=place,
        database=redact_url(database_url),
        kafka=kafka,
        redis=redact_url(redis),
    )
    app = create_app(settings, database_url, kafka, redis)
    gc.collect()
    gc.freeze()  # to look through all that stays held up every answer for 80 ms, once a minute
    with listening:
        _Server(config(app), app.state.parts.end_streams).run(sockets=[listening])
    log.info("stopped")


class _Server(uvicorn.Server):
    """Ends when asked to as a job that is done, and not by the signal that asked."""

    def __init__(self, config: uvicorn.Config, end_streams: Callable[[], Awaitable[None]]) -> None:
        """Take what ends the answers that would go on for ever."""
        super().__init__(config)
        self._end_streams = end_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let everybody go, then wait for the answers in hand."""
        await self._end_streams()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as the wish to end."""
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, self.handle_exit)
        yield


def config(app: FastAPI) -> uvicorn.Config:
    """Return how uvicorn runs an application: quick, quiet, and without naming itself."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def _check_tables(database_url: str) -> None:
    """Say at once that tables are lacking; without PostgreSQL that is said when it is back."""
    from database.migrate import require_newest

    try:
        require_newest(database_url)
    except ServiceUnavailableError as error:
        log.warning("PostgreSQL is away: answers are 503 until it is there", because=str(error))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise EncoreError(
            f"nothing can listen at {host}:{port} ({error.strerror}). Give another --port, or "
            "--port 0 for a free one."
        ) from None
    return listening
