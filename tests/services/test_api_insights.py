"""What the API tells of music, models and data, and what an administrator changes by it."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import psycopg2
import pytest

from database.engine import transaction
from encore.events import Topics
from serving.keys import Role
from serving.routes.data import TABLES
from tests.api import Api, read_topic, seed, serving
from tests.live import execute, wait_until

pytestmark = pytest.mark.services

# Times are in the middle of spans and buckets: the clock may move on while the tests run.
MUSIC = """
INSERT INTO item_counts_5m (item_id, bucket_start, plays)
SELECT item, date_bin('5 min', now() - ago * interval '1 minute', 'epoch'), plays
  FROM (VALUES ('t1', 30, 3), ('t1', 25, 2), ('t2', 30, 5), ('t3', 30, 2), ('t4', 30, 0),
               ('t3', 90, 9), ('t1', 90, 4), ('t5', 90, 1), ('t6', 150, 50))
       AS v (item, ago, plays);
INSERT INTO item_counts_hour (item_id, bucket_start, plays, completes, skips, likes)
SELECT item, date_trunc('hour', now(), 'UTC') - ago * interval '1 hour', plays, 1, 0, 2
  FROM (VALUES ('t1', 2, 3), ('t2', 2, 4), ('t3', 1, 1), ('t1', 90, 8)) AS v (item, ago, plays);
INSERT INTO session_counts (user_id, session_id, started_at, last_event_at, logged_out_at, plays,
                            skips, ms_played)
VALUES ('bob', 's9', now() - interval '40 min', now() - interval '20 min', NULL, 9, 0, 900),
       ('ada', 's2', now() - interval '10 min', now() - interval '1 min', NULL, 3, 1, 300),
       ('eve', 's3', now() - interval '9 min', now() - interval '2 min', now(), 5, 5, 500);
INSERT INTO user_item_affinity (user_id, item_id, signal, first_at, last_at)
VALUES ('ada', 't4', 1, now() - interval '2 min', now() - interval '2 min'),
       ('bob', 't1', 1, now() - interval '50 min', now() - interval '50 min');
"""
MODELS = """
UPDATE model_runs SET users = 20, items = 7, interactions = 40, started_at = '2026-05-01 12:00+00',
       duration_seconds = 60, metrics = '{"als": {"ndcg@10": 0.12, "ndcg@10_low": 0.11,
       "ndcg@10_high": 0.13, "recall@20": 0.2, "coverage@20": 0.5},
       "popularity": {"ndcg@10": 0.02, "ndcg@10_low": 0.01, "ndcg@10_high": 0.03,
       "recall@20": 0.1, "coverage@20": 0.05}, "test_users": 9, "published": "als",
       "list_length": 4.0, "data": "its fingerprint"}';
INSERT INTO model_runs (algorithm, status, parameters, message, published_at)
VALUES ('als', 'refused', '{"rank": 8}', 'ndcg@10 0.0100 is worse', NULL),
       ('fallback', 'superseded', '{}', NULL, '2026-05-01 11:00+00');
"""
DATA = """
INSERT INTO stream_offsets (topic, topic_id, partition, first_offset, next_offset, gaps, accepted,
                            late, duplicate, rejected)
VALUES ('music.events', 'id-1', 0, 100, 200, 2, 90, 5, 6, 2),
       ('music.events', 'id-1', 1, 0, 50, 0, 40, 1, 5, 4),
       ('music.users', 'id-2', 0, 0, 7, 0, 7, 0, 0, 0);
ANALYZE items, recommendations;
"""
REJECT = (
    'INSERT INTO rejected_events (topic, topic_id, partition, "offset", reason, field, key, raw,'
    " arrived_at, rejected_at) VALUES (%s, 'id-1', 0, %s, %s, %s, %s, %s, '2026-05-01 12:00+00',"
    " '2026-05-01 12:00+00'::timestamptz + %s * interval '1 second')"
)


@pytest.fixture(scope="module")
def api(shared_database_url: str, kafka: str, shared_topics: Topics) -> Iterator[Api]:
    seed(shared_database_url)
    with transaction(shared_database_url) as cursor:
        cursor.execute(MUSIC + MODELS + DATA)
    with serving(shared_database_url, kafka) as running:
        yield running


def post(api: Api, path: str, body: Any = None, role: Role = Role.ADMIN) -> httpx.Response:
    content = None if body is None else json.dumps(body)
    headers = api.headers(role) | {"Content-Type": "application/json"}
    return api.client.post(f"/api/v1{path}", content=content, headers=headers)


def reject(api: Api, topic: str, values: list[bytes], reason: str = "not_allowed") -> None:
    """Insert rejected records at the offsets from 0 on, one a second."""
    execute(api.database_url, "DELETE FROM rejected_events")
    with transaction(api.database_url) as cursor:
        for place, value in enumerate(values):
            cursor.execute(REJECT, (topic, place, reason, "level", b"u1", value, place))


# --- music ------------------------------------------------------------------------------------


def charts(api: Api, **parameters: Any) -> list[tuple[str, int, int, tuple[int, int] | None]]:
    return [
        (one["item"]["item_id"], one["rank"], one["plays"],
         (one["before"]["rank"], one["before"]["plays"]) if one["before"] else None)
        for one in api.json("/charts", **parameters)["items"]
    ]  # fmt: skip


def test_the_charts_say_who_moved(api: Api) -> None:
    assert charts(api) == [
        ("t1", 1, 5, (2, 4)),  # 9 plays of t3 were more
        ("t2", 1, 5, None),
        ("t3", 3, 2, (1, 9)),
    ]
    assert charts(api, genre="Jazz") == [("t1", 1, 5, (2, 4)), ("t3", 2, 2, (1, 9))]
    assert charts(api, n=1, offset=2) == [("t3", 3, 2, (1, 9))]
    # The seed has 10 - n plays of the item n so many days ago less one.
    week = charts(api, span="week")
    assert week == [(f"t{n}", n, 10 - n, None) for n in range(1, 7)]


def test_genres_are_counted_by_the_hour_an_item_for_each_of_its_own(api: Api) -> None:
    told = api.json("/genres/activity", by="hour", n=24)
    assert len(told["starts"]) == 24
    assert [(one["genre"], one["total"]) for one in told["genres"]] == [("Folk", 7), ("Jazz", 4)]
    rows = execute(
        api.database_url, "SELECT DISTINCT bucket_start FROM item_counts_hour ORDER BY 1 DESC"
    )
    last, before = (row[0].isoformat() for row in rows[:2])
    place = told["starts"].index
    folk, jazz = (one["plays"] for one in told["genres"])
    assert (folk[place(before)], folk[place(last)]) == (3 + 4, 0)
    assert (jazz[place(before)], jazz[place(last)]) == (3, 1)
    assert sum(folk) + sum(jazz) == 11
    assert len(api.json("/genres/activity", most=1)["genres"]) == 1


def test_an_item_is_told_over_time_without_a_gap(api: Api) -> None:
    told = api.json("/items/t1/activity", by="hour", n=100)["buckets"]
    assert len(told) == 100
    assert [
        (one["plays"], one["completes"], one["skips"], one["likes"])
        for one in told
        if one["plays"]
    ] == [(8, 1, 0, 2), (3, 1, 0, 2)]  # fmt: skip
    assert sum(one["plays"] for one in api.json("/items/t1/activity", by="5m")["buckets"]) == 9
    assert len(api.json("/items/t7/activity", by="day", n=3)["buckets"]) == 3
    assert api.get("/items/t99/activity").status_code == 404


def test_open_sessions_are_those_that_last(api: Api) -> None:
    told = api.json("/sessions/open")
    assert told["open"] == 2
    ada, bob = told["sessions"]
    assert (ada["user_id"], ada["name"], ada["session_id"]) == ("ada", "Ada Sten", "s2")
    assert (ada["plays"], ada["skips"], ada["ms_played"]) == (3, 1, 300)
    assert ada["last_item"]["title"] == "Wasted Trains"
    assert (bob["user_id"], bob["name"], bob["last_item"]) == ("bob", None, None)
    assert api.json("/sessions/open", offset=2) == {"open": 2, "sessions": []}


# --- models -----------------------------------------------------------------------------------


def test_runs_are_listed_with_what_they_were_worth(api: Api) -> None:
    told = api.json("/models")
    assert told["champion"] == 1
    kept, refused, champion = told["runs"]
    assert (kept["model_run_id"], kept["algorithm"], kept["kept"]) == (3, "fallback", True)
    assert (refused["status"], refused["message"]) == ("refused", "ndcg@10 0.0100 is worse")
    assert (refused["champion"], refused["kept"], refused["quality"]) == (False, False, [])
    assert refused["parameters"] == {"rank": 8}
    assert (champion["champion"], champion["kept"]) == (True, False)
    assert (champion["users"], champion["items"], champion["interactions"]) == (20, 7, 40)
    assert (champion["test_users"], champion["orders_lists"]) == (9, "als")
    assert champion["quality"] == [
        {"model": "als", "ndcg": 0.12, "ndcg_low": 0.11, "ndcg_high": 0.13, "recall": 0.2,
         "coverage": 0.5},
        {"model": "popularity", "ndcg": 0.02, "ndcg_low": 0.01, "ndcg_high": 0.03, "recall": 0.1,
         "coverage": 0.05},
    ]  # fmt: skip


def test_the_variety_of_lists_is_counted(api: Api) -> None:
    # ada's list: t3, t2, t5, t4, of two artists and two genres
    assert api.json("/models/1/diversity") == {
        "model_run_id": 1, "lists": 1, "artists": 2.0, "genres": 2.0, "items": 4,
        "sources": {"personal": 1.0},
    }  # fmt: skip
    none = api.json("/models/3/diversity")
    assert (none["lists"], none["artists"], none["sources"]) == (0, None, {})
    assert api.get("/models/99/diversity").status_code == 404


def test_readers_are_shown_an_older_run_by_an_administrator_alone(api: Api) -> None:
    for role in (Role.READ, Role.WRITE):
        assert post(api, "/models/rollback", role=role).status_code == 403
    assert api.json("/models")["champion"] == 1
    assert post(api, "/models/rollback").json() == {"model_run_id": 3, "before": 1}
    assert api.json("/recommend/ada", n=1)["model_run_id"] == 3
    assert post(api, "/models/rollback?run=1").json() == {"model_run_id": 1, "before": 3}
    wait_until(lambda: _logged(api) >= 4, "the calls are on record")


def _logged(api: Api) -> int:
    return sum(
        one["path"] == "/api/v1/models/rollback"
        for one in api.get("/writes", Role.ADMIN).json()["writes"]
    )


def test_a_run_that_is_not_kept_and_a_training_under_way_are_told(api: Api) -> None:
    told = post(api, "/models/rollback?run=2")
    assert told.status_code == 409
    assert "run 2 is not kept for going back to" in told.json()["detail"]
    with closing(psycopg2.connect(api.database_url)) as training, training.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('encore.train'))")
        told = post(api, "/models/rollback")
    assert told.status_code == 409
    assert "another training is running" in told.json()["detail"]
    assert api.json("/models")["champion"] == 1


# --- data -------------------------------------------------------------------------------------


def test_tables_are_told_with_their_sizes(api: Api) -> None:
    told = api.json("/data/tables")
    sizes = [one["bytes"] for one in told["tables"]]
    assert sizes == sorted(sizes, reverse=True)
    assert 0 < sum(sizes) < told["database_bytes"]
    by_name = {one["table"]: one for one in told["tables"]}
    assert by_name["items"]["rows"] == 7
    assert by_name["items"]["partitions"] == 0
    ((total, index),) = execute(
        api.database_url, "SELECT pg_total_relation_size('items'), pg_indexes_size('items')"
    )
    assert (by_name["items"]["bytes"], by_name["items"]["index_bytes"]) == (total, index)
    lists = by_name["recommendations"]
    assert (lists["rows"], lists["partitions"]) == (4, 1)
    assert by_name["items"]["meaning"].startswith("Items (tracks) as last announced")
    assert not [name for name in by_name if name.startswith(("lists_of", "alembic"))]


def test_the_size_of_the_database_is_asked_once_and_not_for_each_table(api: Api) -> None:
    """It looks at each file, of which there are tens of thousands until the next checkpoint."""
    statement = "EXPLAIN (VERBOSE, COSTS OFF) " + TABLES.replace("$1", "100")
    plan = [line.strip() for (line,) in execute(api.database_url, statement)]
    asked = [at for at, line in enumerate(plan) if "pg_database_size" in line]
    assert [plan[at - 2] for at in asked] == ["InitPlan 1"]


def test_the_books_close_partition_by_partition(api: Api) -> None:
    told = api.json("/data/accounting")
    events, users = told["topics"]
    assert told["closes"] is False
    assert {name: events[name] for name in ("topic", "read", "accepted", "late", "duplicate")} == {
        "topic": "music.events", "read": 148, "accepted": 130, "late": 6, "duplicate": 11,
    }  # fmt: skip
    assert (events["rejected"], events["closes"]) == (6, False)
    # 200 - 100 - 2 = 98 = 90 + 6 + 2, but 50 - 0 is not 40 + 5 + 4
    assert [(one["read"], one["closes"]) for one in events["partitions"]] == [
        (98, True),
        (50, False),
    ]
    assert (users["read"], users["accepted"], users["closes"]) == (7, 7, True)


def test_rejected_records_are_shown_with_nothing_in_them_that_acts_on_a_screen(api: Api) -> None:
    reject(api, "music.events", [b'{"level":"gold"}', b"\xff\xfe{\x00", "a\u202eb\n".encode()])
    told = api.json("/rejected", n=2)
    assert (told["offset"], told["more"]) == (0, True)
    newest, second = told["records"]
    assert (newest["place"], newest["value"]) == ("music.events/0/2", "a\\u202eb\\n")
    assert (second["value"], second["bytes"]) == ("\\xff\\xfe{\\x00", 4)
    assert (newest["reason"], newest["field"], newest["key"]) == ("not_allowed", "level", "u1")
    assert newest["rule"].startswith("level: text; required of subscription_change; free, paid")
    assert [one["place"] for one in api.json("/rejected", n=2, offset=2)["records"]] == [
        "music.events/0/0"
    ]
    assert api.json("/rejected", reason="missing")["records"] == []
    assert api.json("/rejected", field="level", topic="music.items")["records"] == []
    assert len(api.json("/rejected", field="level", topic="music.events")["records"]) == 3
    assert api.get("/rejected?reason=bad luck").status_code == 400


def test_reasons_are_counted_of_what_waits(api: Api) -> None:
    reject(api, "music.events", [b"1", b"2", b"3"])
    execute(
        api.database_url,
        "UPDATE rejected_events SET replayed_at = now(), replayed_to = '0/9', reason = 'missing'"
        ' WHERE "offset" = 0',
    )
    told = api.json("/rejected/reasons")
    assert (told["counted"], told["all"]) == (2, True)
    (reason,) = told["reasons"]
    assert (reason["topic"], reason["reason"], reason["field"], reason["records"]) == (
        "music.events", "not_allowed", "level", 2,
    )  # fmt: skip
    assert len(api.json("/rejected", replayed="true")["records"]) == 3


def test_a_record_is_sent_again_once_edited_and_marked(
    api: Api, kafka: str, shared_topics: Topics
) -> None:
    topic = shared_topics.events
    reject(api, topic, [b'{"level":"gold"}', b"{", b'{"level":"tin","user_id":"u1"}'])
    ask = {"topic": topic, "reason": "not_allowed", "set": {"level": "paid"}}
    assert post(api, "/rejected/replay", ask, Role.WRITE).status_code == 403
    rehearsed = post(api, "/rejected/replay", ask | {"dry_run": True}).json()
    skipped = {"is no JSON object, so no field of it can be set or dropped": 1}
    assert (rehearsed["would_send"], rehearsed["marked"]) == (2, 0)
    assert rehearsed["skipped"] == skipped
    assert read_topic(kafka, topic) == []
    told = post(api, "/rejected/replay", ask).json()
    assert told == {
        "dry_run": False, "would_send": 0, "sent": 2, "acknowledged": 2, "marked": 2,
        "skipped": skipped, "failed": {}, "left": 0,
    }  # fmt: skip
    sent = [(b"u1", b'{"level":"paid"}'), (b"u1", b'{"level":"paid","user_id":"u1"}')]
    assert read_topic(kafka, topic) == sent
    assert [one["place"] for one in api.json("/rejected")["records"]] == [f"{topic}/0/1"]
    places = [f"{topic}/0/{offset}" for offset in range(3)]
    told = post(api, "/rejected/replay", {"places": places}).json()
    assert (told["sent"], told["marked"], told["skipped"]) == (1, 1, {"already replayed": 2})
    assert read_topic(kafka, topic) == [*sent, (b"u1", b"{")]


@pytest.mark.parametrize(
    ("ask", "status", "said"),
    [
        ({}, 422, "say which"),
        ({"places": ["music.events/0/0"], "reason": "missing"}, 422, "say which"),
        ({"places": ["music.events"]}, 422, "pattern"),
        ({"places": ["music.events/9999999999/0"]}, 400, "no place that Kafka can have"),
        ({"places": ["music.events/0/77"]}, 409, "no rejected record at music.events/0/77"),
        ({"topic": "music.events", "set": {"lvl": 1}}, 409, "has no such field"),
        ({"topic": "gone.events"}, 409, "Kafka has no topic gone.events"),
    ],
)
def test_what_cannot_be_sent_again_is_told(
    api: Api, ask: dict[str, Any], status: int, said: str
) -> None:
    topic = str(ask.get("topic", "music.events"))
    reject(api, topic, [b"{}"])
    told = post(api, "/rejected/replay", ask)
    assert told.status_code == status, told.text
    assert said in told.text
    assert execute(api.database_url, "SELECT count(replayed_at) FROM rejected_events") == [(0,)]
