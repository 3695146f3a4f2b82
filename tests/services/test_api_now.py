"""What the API says of the platform's pulse, now and before, from hand-made books of the stream."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from database.engine import transaction
from serving.app import PREFIX
from serving.keys import Role, revoke, split
from serving.routes.search import FOUND
from tests.api import Api, make_keys, seed, serving
from tests.live import execute, wait_until

pytestmark = pytest.mark.services

# Two partitions, the newest record 3 s old; a batch of 50 minutes ago, and one that stays of now
# however long the tests take.
BOOKS = """
INSERT INTO stream_offsets (topic, topic_id, partition, first_offset, next_offset, accepted, late,
                            duplicate, rejected, arrived_at)
VALUES ('music.events', 'id', 0, 0, 70, 60, 5, 6, 4, now() - interval '3 s'),
       ('music.events', 'id', 1, 10, 40, 30, 1, 0, 0, now() - interval '1 h'),
       ('music.events', 'older', 0, 0, 900, 900, 0, 0, 0, now() - interval '1 d'),
       ('music.users', 'id', 0, 0, 500, 500, 0, 0, 0, now());
UPDATE stream_offsets SET closed_at = now() WHERE topic_id = 'older';
INSERT INTO ingest_audit (topic, run_id, spark_batch, from_offsets, to_offsets, read, accepted,
                          late, duplicate, rejected, phases, committed_at)
VALUES ('music.events', gen_random_uuid(), 1, '{}', '{}', 40, 34, 2, 6, 0,
        '{"stage": 100, "merge": 60}', now() - interval '50 min'),
       ('music.users', gen_random_uuid(), 1, '{}', '{}', 500, 500, 0, 0, 0, '{}', now()),
       ('music.events', gen_random_uuid(), 2, '{}', '{}', 60, 56, 4, 0, 4,
        '{"stage": 30, "merge": 10}', now() + interval '1 min');
INSERT INTO platform_activity_minute (minute, event_type, country, device, level, events)
VALUES (date_trunc('minute', now()) - interval '1 min', 'listen', 'SE', 'phone', 'free', 7),
       (date_trunc('minute', now()) - interval '1 min', 'like', 'SE', 'phone', 'free', 2),
       (date_trunc('minute', now()) - interval '1 min', 'listen', 'BR', 'phone', 'free', 3),
       (date_trunc('minute', now()) - interval '1 h', 'listen', 'DE', 'phone', 'free', 50);
INSERT INTO minute_users VALUES
  (date_trunc('minute', now()) - interval '1 min', ARRAY['ada', 'bo']),
  (date_trunc('minute', now()) - interval '1 min', ARRAY['bo', 'cy']),
  (date_trunc('minute', now()) - interval '1 h', ARRAY['dee']);
"""


@pytest.fixture(scope="module")
def api(shared_database_url: str) -> Iterator[Api]:
    seed(shared_database_url)
    execute(shared_database_url, BOOKS)
    with serving(shared_database_url) as running:
        yield running


def events(api: Api, path: str, **parameters: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return name and data of the server-sent events of an answer that ends."""
    told = api.get(path, **parameters)
    assert told.status_code == 200, told.text
    assert told.headers["content-type"].startswith("text/event-stream")
    found = []
    for part in told.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in part.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_now_sums_the_books_of_the_topic_as_it_is(api: Api) -> None:
    told = api.json("/now")
    counts = ("accepted", "late", "duplicate", "rejected", "rejected_lately")
    assert [told[name] for name in counts] == [90, 6, 6, 4, 4]
    assert told["committed_per_second"] == 6.0  # 60 in 10 s
    assert 3 <= told["newest_seconds"] < 3_600
    assert (told["active_listeners"], told["open_sessions"]) == (3, 0)
    assert told["countries"] == [
        {"country": "SE", "events": 9, "plays": 7},
        {"country": "BR", "events": 3, "plays": 3},
    ]
    assert [(one["batch"], one["phases"]) for one in told["batches"]] == [
        (3, {"merge": 10, "stage": 30}),
        (1, {"merge": 60, "stage": 100}),
    ]


def test_what_only_kafka_knows_is_null_while_it_is_away(api: Api) -> None:
    told = api.json("/now")
    assert [told[name] for name in ("arriving_per_second", "lag", "produced")] == [None] * 3


def test_the_history_reaches_back_to_the_first_batch(api: Api) -> None:
    told = api.json("/now/history")
    step, times = told["step_seconds"], told["times"]
    assert step == 60  # 50 minutes
    assert times == list(range(times[0], times[-1] + 1, step))
    assert times[0] <= time.time() - 3_000 < times[0] + 2 * step
    assert told["committed_per_second"][0] == 40 / 60
    assert told["batch_ms"][0] == 160.0
    assert round(sum(told["committed_per_second"]) * step) in (
        40,
        100,
    )  # the step in hand is left out
    columns = [name for name, column in told.items() if isinstance(column, list)]
    assert {len(told[name]) for name in columns} == {len(times)}
    by_minute = told["minutes"]
    assert by_minute["active_listeners"][:60] == [1, *[0] * 58, 3]
    assert by_minute["events"][:60] == [50, *[0] * 58, 12]
    assert sum(by_minute["events"]) == 62


def test_the_history_of_some_minutes_is_of_those(api: Api) -> None:
    told = api.json("/now/history", minutes=10)
    assert told["step_seconds"] == 10
    assert 59 <= len(told["times"]) <= 61
    assert api.get("/now/history", minutes=0).status_code == 400


def test_a_stream_says_the_same_and_again(api: Api) -> None:
    told = events(api, "/stream/now", most=2)
    assert [name for name, _ in told] == ["now", "now"]
    assert told[1][1]["at"] > told[0][1]["at"]
    assert told[0][1].keys() == api.json("/now").keys()


def test_a_listener_that_is_watched_is_told_of_when_they_do_something(api: Api) -> None:
    with api.client.stream(
        "GET", "/api/v1/stream/users/ada?most=2", headers=api.headers(Role.READ)
    ) as told:
        lines = told.iter_lines()
        assert next(lines) == "event: listener"
        before = json.loads(next(lines).removeprefix("data: "))
        execute(api.database_url, "UPDATE user_counts_day SET events = 5 WHERE user_id = 'ada'")
        rest = [line for line in lines if line.startswith("data: ")]
    assert before == {"user_id": "ada", "events": 3, "model_run_id": 1, "made_at": None}
    assert json.loads(rest[0].removeprefix("data: ")) == {**before, "events": 5}


def test_a_key_that_is_revoked_ends_what_it_began(api: Api) -> None:
    keys = make_keys(api.database_url)
    with (
        serving(api.database_url, keys=keys, serve_key_seconds=0.1) as other,
        other.client.stream("GET", "/api/v1/stream/now", headers=other.headers(Role.READ)) as told,
    ):
        lines = told.iter_lines()
        assert next(lines) == "event: now"
        key_id, _ = split(keys[Role.READ]) or ("", "")
        with transaction(api.database_url) as cursor:
            revoke(cursor, key_id)
        names = [line for line in lines if line.startswith("event: ")]
    assert names[-1] == "event: problem"


@pytest.mark.parametrize(
    ("asked", "found"),
    [("ada", ["ada"]), ("ADA s", ["ada"]), ("ghos", []), ("n", ["new"]), ("sten", ["ada"]),
     ("ada stne", ["ada"]), ("ad\xe1 sten", ["ada"])],
)  # fmt: skip
def test_listeners_are_found_by_the_beginning_of_an_id_or_nearly_a_part_of_a_name(
    api: Api, asked: str, found: list[str]
) -> None:
    users = api.json("/users", q=asked)["users"]
    assert [one["user_id"] for one in users][: len(found) or 9] == found


def test_without_words_those_are_found_who_were_active_last(api: Api) -> None:
    assert api.json("/users")["users"] == [
        {"user_id": "ada", "name": "Ada Sten", "city": None, "country": "SE"}
    ]


def test_a_search_of_listeners_need_not_read_them_all(api: Api) -> None:
    with transaction(api.database_url) as cursor:
        # Of a table as small as this one an index would be read from end to end.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        cursor.execute("EXPLAIN " + FOUND.replace("$1", "'ada'").replace("$2", "20"))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan" not in plan
    for index in ("ix_users_beginning", "ix_users_name_trigrams", "pk_user_counts_day"):
        assert index in plan


def test_a_key_has_so_many_streams_open_at_once_and_another_when_one_ended(api: Api) -> None:
    path = f"{PREFIX}/stream/now"
    with serving(api.database_url, serve_streams_per_key=1) as other:
        headers = other.headers(Role.READ)
        with other.client.stream("GET", path, headers=headers) as first:
            lines = first.iter_lines()  # kept: its end would be the stream's
            assert next(lines) == "event: now"
            refused = other.get("/stream/now", most=1)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert "SERVE_STREAMS_PER_KEY" in refused.json()["detail"]
            assert other.get("/stream/now", Role.ADMIN, most=1).status_code == 200
        wait_until(lambda: other.get("/stream/now", most=1).status_code == 200, "it may again")
