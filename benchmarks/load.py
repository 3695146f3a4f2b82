"""A load of HTTP requests over connections that stay open, from a process of its own."""

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

import numpy as np
import uvloop

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "


@dataclass(frozen=True)
class Load:
    """What to send where: requests as they go over the wire, in turns, for so long.

    With ``per_second`` each is due at a time of its own, else as soon as the one before it on its
    connection is answered. What is due in the first ``settle_seconds`` is sent, and not counted:
    the server and what it asks were at rest.
    """

    port: int
    requests: Sequence[bytes] = field(repr=False)
    connections: int
    seconds: float
    per_second: float = 0.0
    settle_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """How many were answered as they should be and how many otherwise, and how soon, in ms.

    A request that was due and could not be sent yet counts from when it was due.
    """

    good: int
    bad: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Return the good answers a second."""
        return self.good / self.seconds


def drive(load: Load) -> Answered:
    """Send a load and return what was answered.

    Raises:
        RuntimeError: nothing was answered.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_run, load).result()


def _run(load: Load) -> Answered:
    gc.disable()  # a pause of this process would count as one of the server
    return uvloop.run(_drive(load))


async def _drive(load: Load) -> Answered:
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    counts_from = began + load.settle_seconds
    ends = counts_from + load.seconds
    connections = []
    for number in range(load.connections):
        _, one = await loop.create_connection(
            partial(_Connection, load, number, began, counts_from, ends), "127.0.0.1", load.port
        )
        connections.append(one)
    await asyncio.gather(*(one.ended for one in connections))
    seconds = time.perf_counter() - counts_from
    waited = np.array([ms for one in connections for ms in one.waited_ms])
    if not len(waited):
        raise RuntimeError("nothing was answered")
    p50, p99 = np.percentile(waited, [50, 99]).tolist()
    bad = sum(one.bad for one in connections)
    return Answered(len(waited) - bad, bad, seconds, p50, p99)


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(
        self, load: Load, number: int, began: float, counts_from: float, ends: float
    ) -> None:
        self.waited_ms: list[float] = []
        self.bad = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._next = number
        self._counts_from = counts_from
        self._ends = ends
        self._buffer = b""
        self._interval = load.connections / load.per_second if load.per_second else 0.0
        self._due = began + self._interval * number / load.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(_END)
        if head < 0:
            return
        at = self._buffer.lower().find(_LENGTH, 0, head) + len(_LENGTH)
        size = head + len(_END) + int(self._buffer[at : self._buffer.index(b"\r", at)])
        if len(self._buffer) < size:
            return
        good = self._buffer[9:10] == b"2"
        if self._due >= self._counts_from or not good:
            self._count(good=good)
        self._buffer = b""
        self._due += self._interval
        self._go_on()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        if not self.ended.done():
            self._count(good=False)
            self.ended.set_result(None)

    def _count(self, *, good: bool) -> None:
        self.waited_ms.append((time.perf_counter() - self._due) * 1000)
        self.bad += not good

    def _go_on(self) -> None:
        now = time.perf_counter()
        if now >= self._ends:
            self.ended.set_result(None)
            self._transport.close()
            return
        if not self._interval:
            self._due = now
            self._send()
            return
        asyncio.get_running_loop().call_later(max(0.0, self._due - now), self._send)

    def _send(self) -> None:
        requests = self._load.requests
        self._transport.write(requests[self._next % len(requests)])
        self._next += self._load.connections


def get(path: str, key: str) -> bytes:
    """Return a GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: encore\r\nX-API-Key: {key}\r\n\r\n".encode()


def post(path: str, key: str, body: bytes, media: str) -> bytes:
    """Return a POST as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: encore\r\nX-API-Key: {key}\r\nContent-Type: {media}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
