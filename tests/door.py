"""A service that goes away and comes back, without a server being killed for it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from encore.stack.process import free_port


class Door:
    """A way to a service that can be shut, and opened again at the same port."""

    def __init__(self, host: str, port: int) -> None:
        """Take where it leads to. It is shut at first."""
        self._target = (host, port)
        self._port = free_port(())
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._silent: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @classmethod
    @contextmanager
    def to(cls, place: str) -> "Iterator[tuple[Door, str]]":
        """Yield a door to a URL, or to a ``host:port``, and the same by way of the door."""
        user, at, address = (
            urlsplit(place).netloc.rpartition("@") if "/" in place else ("", "", place)
        )
        host, _, port = address.rpartition(":")
        door = cls(host, int(port))
        try:
            yield door, place.replace(f"{user}{at}{address}", f"{user}{at}127.0.0.1:{door._port}")
        finally:
            door.shut()

    def open(self) -> None:
        """Let in who comes from now on."""
        self._listening = socket.create_server(("127.0.0.1", self._port))
        self._start(self._accept, self._listening)

    def last_words(self, said: bytes) -> None:
        """Say something to everyone inside, and nothing more, without closing their connection."""
        for inside, outside in zip(self._open[::2], self._open[1::2], strict=True):
            self._silent.add(outside)
            inside.sendall(said)

    def shut(self) -> None:
        """Refuse who comes, and cut off who is inside."""
        if self._listening is not None:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        for one in self._open:
            with suppress(OSError):  # the other side closed it
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in self._open:
            one.close()
        self._open, self._silent, self._threads = [], set(), []

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                inside, _ = listening.accept()
            except OSError:
                return
            outside = socket.create_connection(self._target)
            for one in (inside, outside):  # what is said has arrived, not waits for an answer
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += [inside, outside]
            self._start(self._carry, inside, outside)
            self._start(self._carry, outside, inside)

    def _start(self, work: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=work, args=sockets)
        self._threads.append(thread)
        thread.start()

    def _carry(self, here: socket.socket, there: socket.socket) -> None:
        try:
            while some := here.recv(65_536):
                if here not in self._silent:
                    there.sendall(some)
            there.shutdown(socket.SHUT_WR)
        except OSError:
            return
