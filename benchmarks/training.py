"""``encore train`` as a process of its own: how long, and how much memory, as data grow."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks.backlog import Bench
from benchmarks.crowd import Crowd, fill
from benchmarks.measure import Figure, compare, single
from database.engine import transaction
from recommender.runs import published_run

Processes = Callable[[], list[psutil.Process]]

_EVERY_SECONDS = 0.2
_GROWTH = (Crowd(5_000, 5_000, 180_000), Crowd(10_000, 10_000, 360_000),
           Crowd(20_000, 20_000, 720_000))  # fmt: skip
_BIG = Crowd(users=100_000, items=50_000, pairs=10_000_000)


@dataclass(frozen=True)
class Cost:
    """What a training took: seconds in all and by step, peak memory in MB."""

    seconds: float
    steps: Mapping[str, float]
    job_mb: float
    postgres_mb: float


def bench_refresh_growth(bench: Bench, repeats: int = 3) -> list[Figure]:
    """Measure ``encore train`` by implicit at 1, 4 and 16 times users x items."""
    found: list[list[Cost]] = [[] for _ in _GROWTH]
    for _ in range(repeats):
        for crowd, costs in zip(_GROWTH, found, strict=True):
            fill(bench.database, crowd)
            costs.append(train(bench.database))
    first = [one.seconds for one in found[0]]
    return [_grown(crowd, costs, first) for crowd, costs in zip(_GROWTH, found, strict=True)]


def bench_big(bench: Bench, crowd: Crowd = _BIG) -> list[Figure]:
    """Measure one ``encore train`` by implicit on 10 million pairs, step by step."""
    pairs = fill(bench.database, crowd)
    cost = train(bench.database)
    of = f"{crowd.users:,} x {crowd.items:,}, {pairs:,} pairs"
    whole = cost.seconds
    named = {"in all": whole, **cost.steps}
    figures = [single(f"big: {name}", of, "s", one, whole) for name, one in named.items()]
    memory = {"the job": cost.job_mb, "PostgreSQL": cost.postgres_mb}
    room = psutil.virtual_memory().total / 2**20
    return figures + [
        single(f"big: peak of {name}", "of the machine's memory", "MB", one, room)
        for name, one in memory.items()
    ]


def train(url: str) -> Cost:
    """Run ``encore train`` by implicit, forced, on the database; return what it took."""
    command = [sys.executable, "-m", "encore", "train", "--force"]
    env = {**os.environ, "TRAIN_ENGINE": "implicit", "DATABASE_URL": url, "LOG_LEVEL": "error"}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env)
    with peaks({"job": _tree(process.pid), "postgres": _postgres}) as highest:
        code = process.wait()
    seconds = time.perf_counter() - began
    if code:
        raise RuntimeError(f"encore train ended with {code}")
    with transaction(url) as cursor:
        run = published_run(cursor)
    steps = run["metrics"]["seconds"] if run else {}
    return Cost(seconds, steps, highest["job"], highest["postgres"])


def _grown(crowd: Crowd, costs: Sequence[Cost], first: Sequence[float]) -> Figure:
    times = (crowd.users * crowd.items) // (_GROWTH[0].users * _GROWTH[0].items)
    peak = max(one.job_mb for one in costs)
    return compare(
        f"encore train, {times} x the cells",
        f"the smallest; {crowd.users:,} x {crowd.items:,}, peak {peak:,.0f} MB",
        [one.seconds for one in costs],
        first,
        unit="s",
        target=f"<= {times}" if times > 1 else "",
    )


def _tree(pid: int) -> Processes:
    def processes() -> list[psutil.Process]:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]

    return processes


def _postgres() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["name"]) if one.info["name"] == "postgres"]


@contextmanager
def peaks(groups: Mapping[str, Processes]) -> Iterator[dict[str, float]]:
    """Yield the peak memory in MB of groups of processes, right once the block has ended."""
    highest = dict.fromkeys(groups, 0.0)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_SECONDS):
            for name, processes in groups.items():
                highest[name] = max(highest[name], _memory_mb(processes))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield highest
    finally:
        ended.set()
        watcher.join()


def _memory_mb(processes: Processes) -> float:
    """Return what processes hold, with what several of them share divided among them."""
    total = 0
    try:
        found = processes()
    except psutil.NoSuchProcess:
        return 0.0
    for one in found:
        try:
            held = one.memory_full_info() if psutil.LINUX else one.memory_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += getattr(held, "pss", held.rss)  # only Linux tells the shares
    return total / 2**20
