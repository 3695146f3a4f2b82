"""PostgreSQL, Kafka and Redis killed in turn under an API that is asked all the time."""

import json
import shlex
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from encore.events import Topics
from encore.stack.process import free_port
from encore.stack.redis_server import has_redis
from serving.keys import Role
from tests.api import is_ready, make_keys, read_topic, seed
from tests.programs import Program, encore, running

pytestmark = [pytest.mark.faults, pytest.mark.services]

PREFIX = "under-load"
SERVICES = ("kafka", "postgres", "redis")
NAMED = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "REDIS_URL")
ENOUGH = 25  # answers of each kind


@dataclass(frozen=True)
class OwnStack:
    """The three services with a folder and ports of their own, which may be killed."""

    env: dict[str, str]

    def up(self, *services: str) -> None:
        encore("up", *services, env=self.env)

    def endpoints(self) -> dict[str, str]:
        lines = encore("env", "--with-secrets", env=self.env).splitlines()
        given = (shlex.split(line)[-1].partition("=") for line in lines)
        return {name: value for name, _, value in given if name in NAMED}

    def kill(self, service: str) -> None:
        (status,) = json.loads(encore("status", service, "--json", env=self.env))
        family = psutil.Process(status["pid"])
        every = [family, *family.children(recursive=True)]
        for one in every:
            one.send_signal(signal.SIGKILL)
        psutil.wait_procs(every, timeout=30)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[OwnStack]:
    if not has_redis():
        pytest.skip("there is no redis-server on this machine")
    made = OwnStack(
        {
            "ENCORE_HOME": str(tmp_path / "home"),
            "KAFKA_BOOTSTRAP_SERVERS": "",
            "DATABASE_URL": "",
            "REDIS_URL": "",
            "KAFKA_TOPIC_PREFIX": PREFIX,
            "SERVE_DELIVERY_SECONDS": "2",
            "SERVE_TIMEOUT_SECONDS": "2",
            "SERVE_RATE_PER_SECOND": "0",
            "SERVE_CACHE_SECONDS": "600",  # what is kept outlives the time without PostgreSQL
        }
    )
    try:
        made.up(*SERVICES)
        yield made
    finally:
        encore("down", "--wipe", *SERVICES, env=made.env)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said to a request, and what was being killed when it was sent and answered."""

    kind: str
    status: int
    retry_after: str | None
    sent_in: str
    told_in: str


@dataclass
class Load:
    """Readers and writers that ask all the time; ``acknowledged`` are ids of events."""

    url: str
    keys: dict[Role, str]
    phase: str = "all there"
    answers: list[Answer] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _broken: list[Exception] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        asks = (self._kept, self._read, self._write, self._write)
        threads = [threading.Thread(target=self._repeat, args=(ask,)) for ask in asks]
        for one in threads:
            one.start()
        try:
            yield
        finally:
            self._ended.set()
            for one in threads:
                one.join(60)
        assert self._broken == []

    def within(self, phase: str, kind: str) -> list[Answer]:
        """Return the answers to requests that were sent and answered in a phase."""
        return [
            one for one in list(self.answers)
            if (one.kind, one.sent_in, one.told_in) == (kind, phase, phase)
        ]  # fmt: skip

    def _repeat(self, ask: Callable[[httpx.Client], tuple[str, httpx.Response]]) -> None:
        try:
            with httpx.Client(base_url=f"{self.url}/api/v1", timeout=60) as client:
                while not self._ended.is_set():
                    sent_in = self.phase
                    kind, told = ask(client)
                    after = told.headers.get("retry-after")
                    self.answers.append(Answer(kind, told.status_code, after, sent_in, self.phase))
        except Exception as error:
            self._broken.append(error)

    def _kept(self, client: httpx.Client) -> tuple[str, httpx.Response]:
        headers = {"X-API-Key": self.keys[Role.READ]}
        return "kept", client.get("/recommend/ada", headers=headers)

    def _read(self, client: httpx.Client) -> tuple[str, httpx.Response]:
        headers = {"X-API-Key": self.keys[Role.READ]}
        return "read", client.get("/trending", headers=headers)

    def _write(self, client: httpx.Client) -> tuple[str, httpx.Response]:
        now = round(time.time() * 1000)
        event = {
            "event_id": str(uuid.uuid4()),
            "schema_version": 1,
            "event_type": "like",
            "event_ts": now,
            "user_id": f"u{now % 50}",
            "item_id": "t1",
        }
        headers = {"X-API-Key": self.keys[Role.WRITE]}
        told = client.post("/events", json=event, headers=headers)
        if told.status_code == 202:
            self.acknowledged.append(str(event["event_id"]))
        return "write", told


WELL = {"kept": {200}, "read": {200}, "write": {202}}
AWAY = {
    "postgres": {"kept": {200, 503}, "read": {503}, "write": {202}},
    "kafka": {"kept": {200}, "read": {200}, "write": {503}},
    "redis": WELL,
}
# Redis, too, may be too slow for an answer at first: a kept one is given all the same in the end.
LASTING = {**AWAY, "postgres": {**AWAY["postgres"], "kept": {200}}}


def test_whatever_is_killed_only_promised_answers_are_given_and_no_event_is_lost(
    stack: OwnStack, tmp_path: Path
) -> None:
    named = stack.endpoints()
    seed(named["DATABASE_URL"])
    keys = make_keys(named["DATABASE_URL"])
    port = free_port(())
    url = f"http://127.0.0.1:{port}"
    env = {**stack.env, **named}
    with running("serve", "--port", str(port), env=env, log=tmp_path / "serve.log") as api:
        api.wait_until(lambda: is_ready(url), timeout=60, what="it is ready")
        load = Load(url, keys)
        with load.running():
            wait_for(api, load, "all there", WELL)
            for service in SERVICES:
                stack.kill(service)
                load.phase = f"{service} away"
                wait_for(api, load, load.phase, LASTING[service])
                load.phase = f"{service} comes back"
                stack.up(service)
                api.wait_until(lambda: is_ready(url), timeout=60, what=f"{service} is back")
                load.phase = f"{service} back"
                wait_for(api, load, load.phase, WELL)
    told = {one.status for one in load.answers}
    assert told <= {200, 202, 503}, broken(tmp_path / "serve.log")
    assert all(one.retry_after for one in load.answers if one.status == 503)
    for service in SERVICES:
        for kind, statuses in AWAY[service].items():
            found = {one.status for one in load.within(f"{service} away", kind)}
            assert found <= statuses, (service, kind, found)
    ids = [json.loads(value or b"{}")["event_id"] for _, value in events(named)]
    assert set(load.acknowledged) <= set(ids)


def broken(log: Path) -> list[str]:
    """Return what the API's log says of requests that failed for a reason of its own."""
    return [line for line in log.read_text().splitlines() if "a request failed" in line]


def wait_for(api: Program, load: Load, phase: str, promised: dict[str, set[int]]) -> None:
    """Wait until every kind of request was answered often, and as promised in the end."""

    def settled() -> bool:
        found = {kind: load.within(phase, kind) for kind in promised}
        return all(
            len(answers) >= ENOUGH and answers[-1].status in promised[kind]
            for kind, answers in found.items()
        )

    api.wait_until(settled, timeout=120, what=f"answers while {phase}")


def events(named: dict[str, str]) -> list[tuple[bytes | None, bytes | None]]:
    return read_topic(named["KAFKA_BOOTSTRAP_SERVERS"], Topics.of(PREFIX).events)
