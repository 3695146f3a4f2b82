"""``encore serve`` under load, against a bare FastAPI handler under the same load."""

import itertools
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

import httpx
import numpy as np
import orjson
import psutil
from psycopg2 import sql

from benchmarks.backlog import Bench
from benchmarks.crowd import Crowd, fill
from benchmarks.load import Answered, Load, drive, get, post
from benchmarks.measure import Figure, compare, single, take_turns
from database.engine import transaction
from encore.stack import local
from encore.stack.process import free_port
from encore.stack.redis_server import has_redis
from recommender.publish import prepare, publish, table_of
from recommender.runs import start_run
from serving.keys import Role, make

_SECONDS: Final = 4.0
# A moment that the machine does something else decides the p99 of a turn: many turns, short ones.
_SHORT_TURNS, _SHORT_SECONDS, _SETTLE_SECONDS = 9, 4.0, 0.5
# One comes last: it shows most how quick the broker is, which has to have compiled its code.
_CONNECTIONS: Final = (16, 4, 1)
_FEW, _MANY = 1_000, 1_000_000
_LISTED: Final = 12  # a page of 10, and one that tells that there is more
_ITEMS: Final = 20_000
_BATCH: Final = 1_000
_SETTLE_SHARE: Final = 0.3  # of the time: pools, caches and the first model
_NDJSON: Final = "application/x-ndjson"
_LISTS: Final = """
INSERT INTO {table} (model_run_id, user_id, rank, item_id, score, source, reason, task)
SELECT %(run)s, 'u' || u, r, 't' || (1 + (u * 31 + r * 1009) %% %(items)s), 1.0 / r, 'personal',
       'because of Track 1', 0
  FROM generate_series(1, %(users)s) AS u, generate_series(1, %(listed)s) AS r
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and a key for it."""

    port: int
    key: str
    pid: int

    def top_speed(self, requests: Sequence[bytes], connections: int) -> Answered:
        """Return what is answered if every connection asks as fast as it can."""
        return _flawless(Load(self.port, requests, connections, _SECONDS))


def bench_recommending(bench: Bench, repeats: int = 3) -> list[Figure]:
    """Measure pages of ten from PostgreSQL, with few listeners in the tables and with many."""
    figures, kept = [], {}
    fill(bench.database, Crowd(users=_FEW, items=_ITEMS, pairs=36_000))
    for users in (_FEW, _MANY):
        _publish_lists(bench.database, users)
        with encore_serve(bench) as ours:
            asked = _pages(ours.key, users)
            with bare(_size(ours, asked[0])) as plain:
                found = _turns(ours, plain, asked, 16, repeats)
                against = f"bare FastAPI, as many bytes; {users:,} listeners"
                figures.append(
                    compare("recommendations", against, found["ours"], found["bare"],
                            unit="req/s", target=">= 0.25")
                )  # fmt: skip
                kept[users] = figures[-1].ratio
                if users == _FEW:
                    figures.append(_p99_at_half(ours, plain, asked, found))
    figures.append(
        single("recommendations, growth", f"{_MANY:,} listeners of {_FEW:,}: ratio to bare", "x",
               kept[_MANY], kept[_FEW], ">= 0.8")
    )  # fmt: skip
    return figures


def bench_ready(bench: Bench, repeats: int = 3) -> list[Figure]:
    """Measure the same pages while Redis has them."""
    if not has_redis():
        return []
    fill(bench.database, Crowd(users=_FEW, items=_ITEMS, pairs=36_000))
    _publish_lists(bench.database, _FEW)
    local.up(["redis"])  # where ``encore serve`` finds it, as it shares the folder of the stack
    try:
        with encore_serve(bench) as ours:
            asked = _pages(ours.key, _FEW)
            with bare(_size(ours, asked[0])) as plain:
                found = _turns(ours, plain, asked, 16, repeats)
                return [
                    compare("recommendations from Redis", f"bare FastAPI; {_FEW:,} listeners",
                            found["ours"], found["bare"], unit="req/s", target=">= 0.5")
                ]  # fmt: skip
    finally:
        local.wipe(["redis"])


def bench_writing(bench: Bench, repeats: int = 3) -> list[Figure]:
    """Measure events one by one and in batches, acknowledged by the broker."""
    figures = []
    with encore_serve(bench) as ours:
        many = _bodies(ours.key, _BATCH, 32)
        for connections in _CONNECTIONS:
            speeds = [ours.top_speed(many, connections).per_second * _BATCH for _ in range(repeats)]
            figures.append(
                single(f"batches of {_BATCH:,}, {connections} connections", "30,000 events/s",
                       "events/s", median(speeds), 30_000, ">= 1")
            )  # fmt: skip
        one = _bodies(ours.key, 1, 512)
        with bare(_size(ours, one[0])) as plain:
            for connections in _CONNECTIONS:
                found = _turns(ours, plain, one, connections, repeats)
                figures.append(
                    compare(f"POST /events, {connections} connections", "bare FastAPI that reads",
                            found["ours"], found["bare"], unit="req/s", target=">= 0.3")
                )  # fmt: skip
    return figures


def bench_serving_memory(bench: Bench, minutes: float) -> list[Figure]:
    """Ask at half of the top speed for a while: no error, and no growth of memory."""
    fill(bench.database, Crowd(users=_FEW, items=_ITEMS, pairs=36_000))
    _publish_lists(bench.database, _FEW)
    with encore_serve(bench) as ours:
        asked = [*_pages(ours.key, _FEW), *_bodies(ours.key, 1, 64)]
        half = ours.top_speed(asked, 16).per_second / 2
        process, sizes = psutil.Process(ours.pid), []
        for _ in range(round(minutes * 6)):
            _flawless(Load(ours.port, asked, 16, 10.0, half))
            sizes.append(process.memory_info().rss / 2**20)
    settled = sizes[int(len(sizes) * _SETTLE_SHARE) :]
    against = f"after {_SETTLE_SHARE:.0%} of {minutes:g} min at {half:,.0f} requests/s, no error"
    return [single("API's memory", against, "MB", settled[-1], settled[0], "<= 1.1")]


@contextmanager
def encore_serve(bench: Bench) -> Iterator[Server]:
    """Run ``encore serve``."""
    with transaction(bench.database) as cursor:
        key = make(cursor, "bench", Role.WRITE)
    env = {
        "DATABASE_URL": bench.database,
        "KAFKA_BOOTSTRAP_SERVERS": bench.bootstrap,
        "KAFKA_TOPIC_PREFIX": "bench-serve",
        "SERVE_RATE_PER_SECOND": "0",
        "LOG_LEVEL": "error",
    }
    port = free_port(())
    with _running([sys.executable, "-m", "encore", "serve", "--port", str(port)], env, port) as pid:
        yield Server(port, key, pid)


@contextmanager
def bare(size: int) -> Iterator[Server]:
    """Run the bare application."""
    port = free_port(())
    with _running([sys.executable, "-m", "benchmarks.bare", str(port), str(size)], {}, port) as pid:
        yield Server(port, "", pid)


def _turns(
    ours: Server, plain: Server, requests: Sequence[bytes], connections: int, repeats: int
) -> dict[str, list[float]]:
    def asking(server: Server) -> Callable[[], float]:
        return lambda: server.top_speed(requests, connections).per_second

    return take_turns({"bare": asking(plain), "ours": asking(ours)}, repeats=repeats)


def _p99_at_half(
    ours: Server, plain: Server, asked: Sequence[bytes], top: dict[str, list[float]]
) -> Figure:
    def p99(server: Server, way: str) -> Callable[[], float]:
        load = Load(server.port, asked, 16, _SHORT_SECONDS, median(top[way]) / 2, _SETTLE_SECONDS)
        return lambda: _flawless(load).p99_ms

    found = take_turns(
        {"bare": p99(plain, "bare"), "ours": p99(ours, "ours")}, repeats=_SHORT_TURNS
    )
    return compare("p99 at half of that", "bare FastAPI at half of its", found["ours"],
                   found["bare"], unit="ms", target="<= 4")  # fmt: skip


def _flawless(load: Load) -> Answered:
    found = drive(load)
    if found.bad:
        raise RuntimeError(f"{found.bad} of {found.good + found.bad} requests failed")
    return found


def _publish_lists(url: str, users: int) -> None:
    """Publish a run that has a list for each of so many listeners."""
    run = start_run(url, "als", {})
    prepare(url, run)
    statement = sql.SQL(_LISTS).format(table=table_of("recommendations", run))
    with transaction(url) as cursor:
        cursor.execute(statement, {"run": run, "users": users, "items": _ITEMS, "listed": _LISTED})
    publish(url, run, keep=1)
    with transaction(url) as cursor:
        cursor.execute("ANALYZE recommendations, item_trends, users")


def _pages(key: str, users: int) -> list[bytes]:
    drawn = np.random.default_rng(5).integers(1, users + 1, 20_000).tolist()
    return [get(f"/api/v1/recommend/u{one}?n=10", key) for one in drawn]


def _bodies(key: str, size: int, count: int) -> list[bytes]:
    numbers = itertools.count()
    made = []
    for _ in range(count):
        lines = [orjson.dumps(_event(next(numbers))) for _ in range(size)]
        media = _NDJSON if size > 1 else "application/json"
        made.append(post("/api/v1/events", key, b"\n".join(lines), media))
    return made


def _event(number: int) -> dict[str, object]:
    return {
        "event_id": str(uuid.uuid4()),
        "schema_version": 1,
        "event_type": "listen",
        "event_ts": round(time.time() * 1000),
        "user_id": f"u{number % 10_000}",
        "item_id": f"t{number % _ITEMS}",
        "session_id": f"s{number % 10_000}",
        "duration_ms": 200_000,
        "ms_played": 150_000,
        "device": "phone",
        "country": "SE",
    }


def _size(server: Server, request: bytes) -> int:
    """Return how many bytes the body of an answer has."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    named = dict(one.split(": ", 1) for one in headers)
    url = f"http://127.0.0.1:{server.port}{path}"
    return len(httpx.request(method, url, headers=named, content=body).raise_for_status().content)


@contextmanager
def _running(command: Sequence[str], env: dict[str, str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, env={**os.environ, **env})
    deadline = time.monotonic() + 60
    try:
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command)} does not answer")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/v1/hello").status_code == 200
    except httpx.TransportError:
        return False
