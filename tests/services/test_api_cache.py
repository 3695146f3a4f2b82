"""Answers kept in Redis: the same bytes, no old list after a new one, and no need of Redis."""

import asyncio
import itertools
import os
import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager

import psutil
import pytest

from encore.cache import Forgetter, namespace, user_key
from encore.stack import layout, local
from encore.stack.state import read_state
from recommender.live.stopping import Stop
from recommender.live.worker import Worker
from serving.cache import Cache
from serving.keys import Role
from serving.measures import Measures
from tests.api import Api, seed, serving
from tests.live import PACE, does, execute, register_someone, telling, told, wait_until

pytestmark = pytest.mark.services

LIST = "/recommend/ada"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a Redis for away only when it is: a busy machine may keep it waiting for long."""
    for module in ("encore.cache", "serving.cache"):
        monkeypatch.setattr(f"{module}.TIMEOUT_SECONDS", 2.0)


@pytest.fixture
def url(database_url: str) -> str:
    seed(database_url)
    register_someone(database_url)
    return database_url


@pytest.fixture
def api(url: str, redis_url: str) -> Iterator[Api]:
    with serving(url, redis=redis_url) as running:
        wait_until(lambda: measured(running, "cache_up") == 1, "Redis answers")
        yield running


@pytest.fixture
def redis_pid(redis_url: str) -> int:
    state = read_state(layout.state_file("redis"))
    assert state is not None
    return state.pid


def measured(api: Api, name: str, outcome: str = "") -> float:
    labels = f'{{outcome="{outcome}"}}' if outcome else ""
    line = rf"^encore_api_{name}{re.escape(labels)} (\S+)$"
    found = re.search(line, api.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0


def hits(api: Api) -> float:
    return measured(api, "cache_total", "hit")


def first(api: Api, path: str = LIST) -> str:
    return str(api.json(path)["recommendations"][0]["item"]["item_id"])


def is_kept(api: Api, path: str = LIST) -> bool:
    before = hits(api)
    assert api.get(path).status_code == 200
    return hits(api) == before + 1


def make_list(url: str, item: str) -> None:
    execute(
        url,
        "INSERT INTO live_recommendations VALUES ('ada', 1, now(), ARRAY[%s], '{1}', '{personal}',"
        " '{so}') ON CONFLICT (user_id) DO UPDATE SET item_ids = excluded.item_ids",
        item,
    )


def test_what_is_kept_is_served_byte_by_byte_until_it_is_forgotten(
    api: Api, url: str, redis_url: str
) -> None:
    wait_until(lambda: is_kept(api), "the list is kept")
    kept = api.get(LIST)
    make_list(url, "t6")  # as nobody who tells Redis would
    again = api.get(LIST)
    assert again.content == kept.content
    assert dict(again.headers) == dict(kept.headers) | {"date": again.headers["date"]}
    assert first(api, LIST + "?n=9") == "t6"  # another question
    with closing(Forgetter(redis_url, namespace(url))) as forgetter:
        assert forgetter.forget(["ada"])
    assert first(api) == "t6"


def test_an_answer_that_was_kept_counts_as_the_same_call_as_one_that_was_not(api: Api) -> None:
    wait_until(lambda: is_kept(api), "the list is kept")
    wait_until(lambda: is_kept(api, "/items/t1"), "the item is kept")
    wait_until(lambda: is_kept(api, "/items/t1/similar?n=1"), "what is like it is kept")
    counted = re.findall(
        r'^encore_api_requests_total{method="GET",route="([^"]+)",status="200"}',
        api.get("/metrics").text,
        re.MULTILINE,
    )
    assert sorted(one for one in counted if "recommend" in one or "items" in one) == [
        "/items/{item_id}",
        "/items/{item_id}/similar",
        "/recommend/{user}",
    ]


def test_a_kept_answer_needs_a_key_and_a_question_that_was_answered(api: Api) -> None:
    wait_until(lambda: is_kept(api), "the list is kept")
    assert api.get(LIST, role=None).status_code == 401
    for path, status in ((LIST + "?n=0", 400), ("/items/t99", 404)):
        assert [api.get(path).status_code for _ in range(2)] == [status, status]
    assert is_kept(api)
    wait_until(lambda: is_kept(api, "/items/t1"), "the item is kept")
    wait_until(lambda: is_kept(api, "/items/t1/similar?n=1"), "what is like it is kept")
    assert len(api.json("/items/t1/similar?n=2")["similar"]) == 2


def test_a_list_that_encore_live_made_is_seen_at_once(api: Api, url: str, redis_url: str) -> None:
    with (
        closing(Forgetter(redis_url, namespace(url))) as forgetter,
        closing(Stop()) as stop,
    ):
        worker = Worker(url, telling(), PACE, stop, forgetter.forget)
        for known in (4, 5, 6):
            wait_until(lambda: is_kept(api), "the list before is kept")
            does(url, "ada", f"new-{known}")
            worker.run(once=True)
            assert first(api) == told(1, known - 1)


def test_a_switch_of_runs_leaves_what_was_kept_behind(api: Api, url: str) -> None:
    wait_until(lambda: is_kept(api), "the list is kept")
    execute(url, "UPDATE recommendations SET item_id = 't6' WHERE rank = 1")
    assert first(api) == "t3"
    execute(url, "UPDATE model_runs SET published_at = now()")  # taken back to, say
    wait_until(lambda: first(api) == "t6", "the run is seen to be published anew")


def interleavings(*sizes: int) -> Iterator[tuple[int, ...]]:
    """Yield every order of the steps of several actors, each step by its actor's number."""
    steps = [actor for actor, size in enumerate(sizes) for _ in range(size)]
    yield from sorted(set(itertools.permutations(steps)))


def test_no_order_of_misses_and_a_change_leaves_an_old_list(redis_url: str) -> None:
    async def play(cache: Cache, forgetter: Forgetter, name: str, order: tuple[int, ...]) -> None:
        key, stored, leases, seen = user_key("test", name), [b"old"], {}, {}

        def reader(number: int) -> Iterator[Callable[[], Awaitable[None]]]:
            async def miss() -> None:
                leases[number] = await cache.lease(key)

            async def read() -> None:
                seen[number] = stored[0]

            async def keep() -> None:
                lease = leases[number]
                assert lease is not None
                await cache.keep(key, "list", lease, seen[number])

            yield from (miss, read, keep)

        async def commit() -> None:
            stored[0] = b"new"

        async def forget() -> None:
            assert forgetter.forget([name])

        actors = [reader(0), reader(1), iter((commit, forget))]
        for actor in order:
            await next(actors[actor])()
        assert await cache.look(key, "list") in (b"new", None), order
        if order[-3:] in ((0, 0, 0), (1, 1, 1)):  # whoever comes after all of that is not refused
            assert await cache.look(key, "list") == b"new", order

    async def play_all() -> None:
        cache = Cache(redis_url, "test", 60, Measures())
        with closing(Forgetter(redis_url, "test")) as forgetter:
            for number, order in enumerate(interleavings(3, 3, 2)):
                await play(cache, forgetter, f"{number}", order)
        await cache.close()

    asyncio.run(play_all())


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_only_one_request_waits_for_a_redis_that_stands_still(api: Api, redis_pid: int) -> None:
    wait_until(lambda: is_kept(api), "the list is kept")
    before = measured(api, "cache_total", "away")
    with standing_still(redis_pid):
        assert [first(api) for _ in range(20)] == ["t3"] * 20
        assert measured(api, "cache_up") == 0
    assert measured(api, "cache_total", "away") == before + 20
    wait_until(lambda: is_kept(api), "what was kept is served again")


def test_without_redis_postgresql_answers_and_with_it_back_answers_are_kept(
    url: str, redis_url: str, redis_pid: int, kafka: str
) -> None:
    with (
        serving(url, kafka, redis=redis_url) as api,
        closing(Forgetter(redis_url, namespace(url))) as forgetter,
    ):
        wait_until(lambda: is_kept(api), "the list is kept")
        process = psutil.Process(redis_pid)
        process.kill()
        process.wait(timeout=10)
        assert [first(api) for _ in range(5)] == ["t3"] * 5
        make_list(url, "t6")
        assert forgetter.forget(["ada"]) is False
        assert first(api) == "t6"
        told = api.get("/health/ready", role=None)
        assert (told.status_code, told.json()["status"]) == (200, "ready")
        assert told.json()["parts"] == {"postgres": "up", "kafka": "up", "redis": "away"}
        local.up(["redis"])
        wait_until(lambda: is_kept(api), "answers are kept again")
        assert first(api) == "t6"
        make_list(url, "t4")
        wait_until(forgetter.forget, "what was owed is made up for")
        assert forgetter.forget(["ada"])
        assert first(api) == "t4"
        assert api.get("/health/ready", Role.READ).json()["parts"]["redis"] == "up"
