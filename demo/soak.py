"""``encore soak``: the pipeline under load and faults, and then the proof of its numbers.

It runs on services of its own in a folder of its own, since it kills them.
"""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg2
import typer

from database.engine import transaction
from database.migrate import upgrade
from demo.processes import Child, end, kill_marked
from encore.errors import EncoreError
from encore.log import get_logger
from encore.settings import load_settings, settings
from encore.stack import local
from encore.stack.endpoints import database_url, kafka_bootstrap_servers
from encore.stack.own import own_stack
from encore.topics import ensure_topics

log = get_logger("soak")

_TICK_SECONDS: Final = 0.5
_END_SECONDS: Final = 60.0
_COUNT_SECONDS: Final = 1800.0
_KILLS: Final = ("before-staging", "before-commit", "after-commit")


@dataclass(frozen=True, slots=True)
class Load:
    """How long, how often a fault, and what is sent; times in s, rate in events/s."""

    seconds: float
    fault_seconds: float
    rate: float
    poison: float
    duplicates: float
    late: float
    seed: int


def run_soak(load: Load) -> dict[str, Any]:
    """Run the pipeline under faults; count the rest, verify; return the report.

    Raises:
        EncoreError: the numbers are not what Kafka holds, or a part could not go on.
    """
    with own_stack("encore-soak-") as home:
        soak = _Soak(load, home)
        try:
            soak.run()
        finally:
            soak.end()
        verified = soak.verify()
        report = {"load": {name: getattr(load, name) for name in Load.__slots__}, **soak.report()}
    if verified:
        raise EncoreError(
            f"encore verify ended with exit code {verified}: the numbers are not what Kafka holds. "
            f"Faults so far: {report['faults']}, seed {load.seed}."
        )
    return report


class _Soak:
    def __init__(self, load: Load, home: Path) -> None:
        self._load = load
        self._home = home
        self._random = random.Random(load.seed)  # noqa: S311 (not for secrets)
        self._faults: Counter[str] = Counter()
        self._restarts = 0
        self._next_seed = load.seed
        self._stream: Child | None = None
        self._producer: Child | None = None

    def run(self) -> None:
        """Let it run for its time, with a fault now and then."""
        upgrade(database_url())
        ensure_topics(kafka_bootstrap_servers(), settings().topics, load_settings())
        self._start_stream()
        self._start_producer()
        ends = time.monotonic() + self._load.seconds
        next_fault = time.monotonic() + self._load.fault_seconds
        while time.monotonic() < ends:
            self._mind()
            if time.monotonic() >= next_fault:
                self._strike()
                next_fault += self._load.fault_seconds
            time.sleep(_TICK_SECONDS)
        local.up(["kafka", "postgres"])

    def end(self) -> None:
        """End producer and stream, the producer first, and whatever else still runs."""
        for child in (self._producer, self._stream):
            if child is not None:
                end([child], _END_SECONDS, lambda: False)
        kill_marked(self._home)

    def verify(self) -> int:
        """Count what is left and recompute everything; return verify's exit code."""
        rest = Child("soak-rest", ["stream", "--available-now"], self._home)
        if code := _wait(rest):
            raise EncoreError(f"the rest could not be counted ({code}): {rest.last_lines()}")
        proof = Child("soak-verify", ["verify"], self._home)
        code = _wait(proof)
        typer.echo(_told(proof))
        return code

    def report(self) -> dict[str, Any]:
        """Return what was done to it, and the accounts."""
        with transaction(database_url()) as cursor:
            cursor.execute(
                "SELECT sum(next_offset - first_offset)::bigint, sum(accepted)::bigint, "
                "sum(late)::bigint, sum(duplicate)::bigint, sum(rejected)::bigint "
                "FROM stream_offsets WHERE topic = %s",
                (settings().topics.events,),
            )
            (counts,) = cursor.fetchall()
        names = ("records", "accepted", "late", "duplicate", "rejected")
        return {
            "faults": dict(self._faults),
            "kills": sum(count for name, count in self._faults.items() if "kill" in name),
            "restarts_of_the_stream": self._restarts,
            "events": dict(zip(names, counts, strict=True)),
        }

    # --- the processes --------------------------------------------------------------------

    def _start_stream(self, fault: str = "") -> None:
        os.environ["STREAM_FAULT"] = fault
        self._stream = Child("soak-stream", ["stream"], self._home)
        os.environ.pop("STREAM_FAULT")

    def _start_producer(self) -> None:
        load = self._load
        flags = [f"--rate={load.rate}", f"--malformed={load.poison / load.rate}"]
        flags += [f"--duplicates={load.duplicates}", f"--late={load.late}"]
        flags += [f"--seed={self._next_seed}", "--history=0s", "--quiet"]
        self._next_seed += 1
        self._producer = Child("soak-producer", ["produce", *flags], self._home)

    def _mind(self) -> None:
        if self._stream is not None and self._stream.exit_code() is not None:
            self._restarts += 1
            self._start_stream()
        if self._producer is not None and self._producer.exit_code() is not None:
            log.info("producer starts again", because=self._producer.last_lines()[-200:])
            self._start_producer()

    # --- the faults -----------------------------------------------------------------------

    def _strike(self) -> None:
        """Do harm: the stream is killed every other time, else anything is hit."""
        others: Sequence[Callable[[], str]] = (
            self._kill_postgres,
            self._kill_kafka,
            self._cut_connections,
            self._kill_stream_and_lose_checkpoint,
            self._kill_producer,
        )
        turn = sum(self._faults.values())
        name = (self._kill_stream if turn % 2 == 0 else self._random.choice(others))()
        self._faults[name] += 1
        log.info("fault", what=name)

    def _kill_stream(self) -> str:
        if self._stream is not None:
            self._stream.kill()
        point = self._random.choice(("", *_KILLS))
        # Every now and then the next one kills itself where it hurts most.
        self._start_stream(f"{point}:{self._random.randint(1, 20)}" if point else "")
        return "kill of the stream"

    def _kill_stream_and_lose_checkpoint(self) -> str:
        if self._stream is not None:
            self._stream.kill()
        shutil.rmtree(self._home / "checkpoints", ignore_errors=True)
        self._start_stream()
        return "kill of the stream, checkpoint lost"

    def _kill_producer(self) -> str:
        if self._producer is not None:
            self._producer.kill()
        return "kill of the producer"

    def _kill_postgres(self) -> str:
        return self._kill_server("postgres")

    def _kill_kafka(self) -> str:
        return self._kill_server("kafka")

    def _kill_server(self, name: str) -> str:
        (status,) = local.status([name])
        if status.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(status.pid, signal.SIGKILL)
            _wait_until_gone(status.pid)
        local.up([name])
        return f"kill of {name}"

    def _cut_connections(self) -> str:
        with suppress(psycopg2.Error), transaction(database_url()) as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name LIKE 'encore-%%' AND pid <> pg_backend_pid()"
            )
        return "connections cut"


def _wait_until_gone(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(timeout=_END_SECONDS)


def _wait(child: Child) -> int:
    deadline = time.monotonic() + _COUNT_SECONDS
    while (code := child.exit_code()) is None:
        if time.monotonic() > deadline:
            raise EncoreError(f"encore {child.name} did not end in {_COUNT_SECONDS:.0f} s.")
        time.sleep(_TICK_SECONDS)
    return code


def _told(child: Child) -> str:
    """Return the lines of a command that are no log."""
    lines = child.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line for line in lines if line[:1] not in ("{", "") and "WARN" not in line)
