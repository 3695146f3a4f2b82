"""Users who are deleted: nothing names them any more, and the numbers are exact all the same."""

import json
from pathlib import Path

import pytest

from database.engine import transaction
from encore.settings import load_settings
from streaming.job import check_database
from streaming.stream import item_stream, user_stream
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside, Message, event, message
from verification.features import PERSONAL
from verification.recount import Recount, take

pytestmark = [pytest.mark.faults, pytest.mark.services, pytest.mark.spark, PY4J_LEAVES_SOCKETS]

TABLES = (*PERSONAL, "item_counts_day", "users", "rejected_events", "stream_offsets")
ERIN, DORA = "erin.stone@example", "dora"


def does(user: str, first: int, count: int) -> list[Message]:
    return [message(event(number, user_id=user)) for number in range(first, first + count)]


def announced(user: str) -> Message:
    value = {"user_id": user, "schema_version": 1, "name": user.title(), "country": "SE"}
    return Message(json.dumps(value).encode(), user.encode())


def deleted(user: str) -> Message:
    return Message(None, user.encode())


def count_entities(inside: Inside) -> None:
    topics = inside.pipeline.topics
    for stream in (item_stream(topics), user_stream(topics, inside.pipeline.kafka)):
        with inside.streaming(available_now=True, stream=stream) as running:
            running.stream.wait()


def traces(inside: Inside, user: str) -> list[str]:
    """Return the tables of the database in which a user is named, in a text or in bytes."""
    with transaction(inside.pipeline.database) as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') "
            "AND relnamespace = 'public'::regnamespace AND NOT relispartition ORDER BY 1"
        )
        found = []
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT count(*) FROM {table} AS t WHERE strpos(t::text, %(user)s) > 0 "
                "OR strpos(t::text, encode(convert_to(%(user)s, 'UTF8'), 'hex')) > 0",
                {"user": user},
            )
            if cursor.fetchall()[0][0]:
                found.append(table)
    return found


def assert_exact(inside: Inside, folder: Path) -> None:
    """Count again from Kafka, and compare all that has to do with users."""
    inside.spark.conf.set("spark.sql.shuffle.partitions", "2")
    settings = load_settings(kafka_topic_prefix=inside.pipeline.topics.users.split(".")[0])
    topics, kafka = inside.pipeline.topics, inside.pipeline.kafka
    folder.mkdir()
    taken = take(kafka, inside.pipeline.database, topics, TABLES, folder)
    findings = Recount(inside.spark, taken, kafka, settings, TABLES).findings()
    assert [(one.table, one.examples) for one in findings if not one.clean] == []
    assert taken.accounting.problems == []


def open_erasures(inside: Inside) -> int:
    with transaction(inside.pipeline.database) as cursor:
        cursor.execute("SELECT count(*) FROM erasures WHERE user_id IS NOT NULL")
        return int(cursor.fetchall()[0][0])


def test_who_is_deleted_is_named_nowhere_and_every_table_is_exact(
    inside: Inside, tmp_path: Path
) -> None:
    topics, database = inside.pipeline.topics, inside.pipeline.database
    check_database(database, load_settings())
    inside.send([announced(ERIN), announced(DORA)], topics.users)
    broken = json.dumps(event(1, user_id=ERIN, event_type="hum")).encode()
    inside.send([*does(ERIN, 0, 60), *does("ada", 100, 60), Message(broken, b"who")])
    count_entities(inside)
    inside.count_all()
    with transaction(database) as cursor:
        cursor.execute(
            "CREATE TABLE lists_of_1 PARTITION OF recommendations FOR VALUES IN (1);"
            "INSERT INTO recommendations SELECT 1, u, 1, 'item-1', 1, 'personal', 'so'"
            "  FROM unnest(ARRAY[%(erin)s, 'ada']) AS u;"
            "INSERT INTO live_recommendations SELECT u, 1, now(), '{i}', '{1}', '{personal}', '{}'"
            "  ::text[] || 'so'::text FROM unnest(ARRAY[%(erin)s, 'ada']) AS u;"
            'INSERT INTO impressions (partition, "offset", user_id, item_id, shown_at,'
            "  arrived_at, model_run_id, variant, source, position)"
            "  VALUES (0, 0, %(erin)s, 'item-1', now(), now(), 1, '', 'personal', 1);"
            "INSERT INTO live_queue (user_id, bucket) VALUES (%(erin)s, live_bucket(%(erin)s));"
            "INSERT INTO api_writes (called_at, key_id, method, path, status, records)"
            "  VALUES (now(), 'k', 'PUT', '/api/v1/preference/' || %(erin)s || '/t1', 202, 1)",
            {"erin": ERIN},
        )
    assert traces(inside, ERIN) == [
        "api_writes",
        "impressions",
        "item_listeners",
        "live_queue",
        "live_recommendations",
        "minute_users",
        "recommendations",
        "rejected_events",
        "session_counts",
        "user_counts_day",
        "user_item_affinity",
        "users",
    ]
    # All that is known of erin is counted; what dora does is in Kafka, and not counted yet.
    inside.send(does(DORA, 300, 60))
    inside.send([deleted(ERIN), deleted(DORA)], topics.users)
    count_entities(inside)
    assert (traces(inside, ERIN), open_erasures(inside)) == (["erasures"], 2)
    assert_exact(inside, tmp_path / "open")

    inside.count_all()
    assert (traces(inside, ERIN), traces(inside, DORA), open_erasures(inside)) == ([], [], 0)
    assert traces(inside, "ada") != []

    # Who comes back is known from there on.
    inside.send(does(ERIN, 500, 40))
    inside.count_all()
    with transaction(database) as cursor:
        cursor.execute("SELECT sum(events) FROM user_counts_day WHERE user_id = %s", (ERIN,))
        assert cursor.fetchall() == [(40,)]
    assert_exact(inside, tmp_path / "back")
