"""The dashboard over a stack that the tests of one file share, in Debian's Chromium."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest
from kafka import KafkaProducer
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    ViewportSize,
)

from encore.events import Topics
from encore.settings import load_settings
from encore.topics import ensure_topics
from serving.keys import Role
from tests.api import Api, make_keys, seed, serving
from tests.browser.chromium import chromium
from tests.conftest import empty_database
from tests.door import Door
from tests.live import execute, wait_until
from tests.programs import running

WIDE: Final = ViewportSize(width=1280, height=900)
COUNTRIES: Final = ("SE", "SE", "SE", "BR", "BR", "DE")
EVENTS: Final = 60
REPEATED: Final = 4
BROKEN: Final = 3


@dataclass(frozen=True)
class Stack:
    """Kafka, PostgreSQL, the stream, live lists and the API, which reaches PostgreSQL by a door."""

    api: Api
    door: Door
    database: str = field(repr=False)
    topics: Topics


@pytest.fixture(scope="module")
def stack(
    kafka: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run everything with a small catalogue and its model, and some events counted.

    For one file: what runs on would take the time of every test that comes after.
    """
    folder = tmp_path_factory.mktemp("browser")
    prefix = f"browser-{uuid.uuid4().hex[:8]}"
    topics = Topics.of(prefix)
    with empty_database(postgres_url) as database, Door.to(database) as (door, there):
        seed(database)
        ensure_topics(kafka, topics, load_settings())
        door.open()
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "DATABASE_URL": database,
            "KAFKA_TOPIC_PREFIX": prefix,
            "ENCORE_HOME": str(folder),
            "STREAM_TRIGGER_SECONDS": "0.1",
            "SPARK_MASTER": "local[1]",
            "SPARK_DRIVER_MEMORY": "1g",
        }
        with (
            running("stream", env=env, log=folder / "stream.log") as stream,
            running("live", env=env, log=folder / "live.log"),
            serving(
                there,
                kafka,
                keys=make_keys(database),
                kafka_topic_prefix=prefix,
                serve_timeout_seconds=5,
            ) as api,
        ):
            send_some(kafka, topics.events)
            stream.wait_until(
                lambda: counted(database, topics) == EVENTS + REPEATED + BROKEN,
                timeout=180,
                what="the first events are counted",
            )
            wait_until(
                lambda: (
                    execute(database, "SELECT 1 FROM live_recommendations WHERE user_id = 'ada'")
                    != []
                ),
                "a worker has made live lists",
            )
            yield Stack(api, door, database, topics)


def counted(database: str, topics: Topics) -> int:
    """Return how many records of the events topic are counted."""
    ((found,),) = execute(
        database,
        "SELECT coalesce(sum(accepted + duplicate + rejected), 0)::int FROM stream_offsets "
        "WHERE topic = %s",
        topics.events,
    )
    return int(found)


def send_some(kafka: str, topic: str) -> None:
    """Send plays of a few listeners in three countries, some of them twice, and what is broken."""
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    now_ms = time.time_ns() // 1_000_000
    plays = [
        {
            "event_id": str(uuid.UUID(int=number + 1)),
            "schema_version": 1,
            "event_type": "listen",
            "event_ts": now_ms - 1_000 * number,
            "user_id": f"listener-{number % len(COUNTRIES)}",
            "item_id": f"t{1 + number % 6}",
            "session_id": f"visit-{number % len(COUNTRIES)}",
            "duration_ms": 200_000,
            "ms_played": 190_000,
            "country": COUNTRIES[number % len(COUNTRIES)],
        }
        for number in range(EVENTS)
    ]
    for one in [*plays, *plays[:REPEATED]]:
        key = str(one["user_id"]).encode()
        producer.send(topic, key=key, value=json.dumps(one).encode())
    for _ in range(BROKEN):
        producer.send(topic, key=b"nobody", value=b"{")
    producer.flush(timeout=60)
    producer.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, for one file: no other test could run an event loop meanwhile."""
    with chromium() as started:
        yield started


@dataclass
class Watched:
    """What a page did that it should not: errors in its console, requests to elsewhere."""

    here: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    forgiven: tuple[str, ...] = ()

    def on_console(self, message: ConsoleMessage) -> None:
        """Take note of a message."""
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def on_error(self, error: Error) -> None:
        """Take note of an exception that nobody caught."""
        self.errors.append(str(error))

    def on_request(self, request: Request) -> None:
        """Take note of a request."""
        if not request.url.startswith(self.here):
            self.elsewhere.append(request.url)

    def unforgiven(self) -> list[str]:
        """Return the errors that the test did not bring about itself."""
        return [one for one in self.errors if not any(word in one for word in self.forgiven)]


@pytest.fixture
def watched(stack: Stack) -> Watched:
    """Return what the page of a test is held to."""
    return Watched(stack.api.url)


@pytest.fixture
def page(browser: Browser, stack: Stack, watched: Watched) -> Iterator[Page]:
    """Open the dashboard without a key, and hold it to :class:`Watched`."""
    context = browser.new_context(viewport=WIDE, base_url=stack.api.url)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.on("console", watched.on_console)
    page.on("pageerror", watched.on_error)
    page.on("request", watched.on_request)
    yield page
    context.close()
    assert watched.unforgiven() == []
    assert watched.elsewhere == []


def enter(page: Page, stack: Stack, view: str = "now", role: Role = Role.ADMIN) -> None:
    """Open a view, giving a key where the page asks for one."""
    page.goto(f"/#/{view}")
    page.get_by_label("Key of the API").fill(stack.api.keys[role])
    page.get_by_role("button", name="Open").click()
    page.locator(".view h1").wait_for()
