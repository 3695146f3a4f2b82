"""Ending a worker on request, and waiting that a request cuts short."""

import select
import signal
import socket
from contextlib import suppress

from psycopg2 import extensions


class Stop:
    """A request to end: the batch in hand ends, then the worker."""

    def __init__(self) -> None:
        """Begin without a request."""
        self.requested = False
        self._told, self._tell = socket.socketpair()
        self._tell.setblocking(False)

    def on_signals(self) -> None:
        """Take SIGTERM and Ctrl-C as the request."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.request())

    def request(self) -> None:
        """Request the end, from anywhere."""
        self.requested = True
        with suppress(BlockingIOError):  # it was requested so often that nobody can miss it
            self._tell.send(b".")

    def wait(self, seconds: float, connection: extensions.connection | None = None) -> None:
        """Wait so long, or until the request, or until PostgreSQL notifies the connection."""
        if self.requested or (connection is not None and connection.notifies):
            return
        sockets = [self._told.fileno()]
        if connection is not None:
            sockets.append(connection.fileno())
        ready, _, _ = select.select(sockets, [], [], seconds)
        if connection is not None and connection.fileno() in ready:
            connection.poll()

    def close(self) -> None:
        """Give back the sockets."""
        self._told.close()
        self._tell.close()
