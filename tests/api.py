"""What tests of the API share: a real server in a thread, and a small catalogue to ask it of."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from kafka import KafkaConsumer, TopicPartition

from database.engine import transaction
from database.migrate import upgrade
from encore.settings import load_settings
from encore.topics import end_offsets
from recommender.artifact import save
from serving.app import PREFIX, create_app
from serving.keys import Role, make
from serving.server import config
from tests.models import model_of

NOWHERE = "127.0.0.1:1"  # no broker is there

# Six played tracks of two genres, hotter the smaller their number; t7 was never played. The
# published run has a list for ada, who came to know t2 since.
MUSIC = """
INSERT INTO feature_settings VALUES ('feature_affinity_half_life_days', 30),
                                    ('feature_trend_half_life_hours', 6),
                                    ('feature_session_timeout_minutes', 30);
INSERT INTO artists VALUES ('a1', 'The Lanterns'), ('a2', 'Pale Harbours');
INSERT INTO albums VALUES ('al1', 'First Light', 'a1');
INSERT INTO genres VALUES ('Folk'), ('Jazz');
INSERT INTO items (item_id, title, artist_id, album_id, duration_ms, released_at)
VALUES ('t1', 'Crimson Candles', 'a1', 'al1', 201000, '2026-01-01'),
       ('t2', 'Silver Promises', 'a1', 'al1', 202000, '2026-01-02'),
       ('t3', 'Winter Seasons', 'a1', NULL, 203000, '2026-01-03'),
       ('t4', 'Wasted Trains', 'a2', NULL, 204000, '2026-01-04'),
       ('t5', 'Moving Angels', 'a2', NULL, 205000, '2026-01-05'),
       ('t6', '100% Candlelight', 'a2', NULL, NULL, NULL),
       ('t7', 'Quiet_Rooms', NULL, NULL, 207000, '2026-01-07');
INSERT INTO item_genres VALUES ('t1', 'Jazz', 1), ('t1', 'Folk', 2), ('t2', 'Folk', 1),
                               ('t3', 'Jazz', 1), ('t4', 'Folk', 1), ('t5', 'Jazz', 1),
                               ('t6', 'Folk', 1);
INSERT INTO users (user_id, name, country, birth_year, level, registered_at, updated_at)
VALUES ('ada', 'Ada Sten', 'SE', 1985, 'paid', '2026-01-01', '2026-04-01'),
       ('new', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO item_trends
SELECT '', 't' || n, 2 ^ (6 - n), now(), 106 - n FROM generate_series(1, 6) AS n
 UNION ALL SELECT 'SE', 't5', 2, now(), 101
 UNION ALL SELECT 'SE', 't6', 1, now(), 100;
INSERT INTO item_counts_day (item_id, bucket_start, plays, completes, skips, likes)
SELECT 't' || n, date_trunc('day', now(), 'UTC') - (n - 1) * interval '1 day', 10 - n, 5, 1, 1
  FROM generate_series(1, 6) AS n;
INSERT INTO user_counts_day (user_id, day, events, plays, completes, skips, ms_played, first_at,
                             last_at)
VALUES ('ada', '2026-05-01', 3, 2, 1, 1, 120000, '2026-05-01 11:00+00', '2026-05-01 12:00+00');
INSERT INTO session_counts (user_id, session_id, started_at, last_event_at)
VALUES ('ada', 's1', '2026-05-01 11:00+00', '2026-05-01 12:00+00');
INSERT INTO user_item_affinity (user_id, item_id, signal, plays, completes, skips, first_at,
                                last_at)
VALUES ('ada', 't1', 1.0, 1, 1, 0, '2026-05-01 11:00+00', '2026-05-01 11:00+00'),
       ('ada', 't2', 0.5, 1, 0, 0, '2026-05-01 12:00+00', '2026-05-01 12:00+00'),
       ('ghost', 't1', 1.0, 1, 1, 0, '2026-05-01 11:00+00', '2026-05-01 11:00+00');
INSERT INTO model_runs (algorithm, status, parameters, data_to, published_at)
VALUES ('als', 'published', '{}', '2026-05-01 12:00+00', '2026-05-01 12:01+00');
INSERT INTO published_run (model_run_id) VALUES (1);
CREATE TABLE lists_of_1 PARTITION OF recommendations FOR VALUES IN (1);
CREATE TABLE similar_of_1 PARTITION OF similar_items FOR VALUES IN (1);
INSERT INTO recommendations
SELECT 1, 'ada', e.rank, e.item, 1.0 - e.rank / 10.0, 'personal',
       'because of Crimson Candles'
  FROM unnest(ARRAY['t3', 't2', 't5', 't4']) WITH ORDINALITY AS e (item, rank);
INSERT INTO similar_items VALUES (1, 't1', 1, 't3', 0.9, 'factors'),
                                 (1, 't1', 2, 't2', 0.5, 'text');
"""

# A run that readers can be shown again, the books of a partition, and a record that broke the
# contract; and a visit that lasts.
OPERATED = """
INSERT INTO model_runs (algorithm, status, parameters, metrics, published_at)
VALUES ('als', 'superseded', '{"rank": 8}', '{"als": {"ndcg@10": 0.12, "ndcg@10_low": 0.11,
        "ndcg@10_high": 0.13, "recall@20": 0.2, "coverage@20": 0.5}, "test_users": 9,
        "published": "als", "list_length": 4.0}', '2026-05-01 11:00+00');
INSERT INTO stream_offsets (topic, topic_id, partition, first_offset, next_offset, accepted,
                            duplicate, rejected)
VALUES ('music.events', 'id-1', 0, 0, 9, 7, 1, 1);
INSERT INTO rejected_events (topic, topic_id, partition, "offset", reason, field, key, raw,
                             arrived_at)
VALUES ('music.events', 'id-1', 0, 7, 'not_allowed', 'level', 'ada', '{"level":"gold"}',
        '2026-05-01 12:00+00');
INSERT INTO session_counts (user_id, session_id, started_at, last_event_at, plays)
VALUES ('ada', 's2', now(), now() + interval '1 hour', 1);
"""


# The taste for Jazz, and that for Folk.
FACTORS = {
    "t1": (1.0, 0.5),
    "t2": (0.0, 1.0),
    "t3": (1.0, 0.0),
    "t4": (0.0, 1.0),
    "t5": (1.0, 0.0),
    "t6": (0.0, 1.0),
}


def seed(database_url: str) -> None:
    """Make the tables, with the small catalogue and its model in them."""
    upgrade(database_url)
    with transaction(database_url) as cursor:
        cursor.execute(MUSIC)
        save(cursor, 1, model_of(FACTORS, alpha=1.0, regularization=1.0, now_s=1.7776368e9))


def operate(database_url: str) -> None:
    """Put into the small catalogue's database what those who operate it look at."""
    with transaction(database_url) as cursor:
        cursor.execute(OPERATED)
        save(cursor, 2, model_of(FACTORS, alpha=1.0, regularization=1.0, now_s=1.7776368e9))


@dataclass(frozen=True)
class Api:
    """A running API, asked with a key of each role."""

    url: str
    database_url: str
    keys: dict[Role, str]
    client: httpx.Client

    def get(self, path: str, role: Role | None = Role.READ, **parameters: Any) -> httpx.Response:
        """Ask for a path below the API's own."""
        return self.client.get(PREFIX + path, params=parameters or None, headers=self.headers(role))

    def json(self, path: str, **parameters: Any) -> Any:
        """Return the body of an answer that must be there."""
        told = self.get(path, **parameters)
        assert told.status_code == 200, told.text
        return told.json()

    def headers(self, role: Role | None) -> dict[str, str]:
        """Return the headers that a key of a role is sent in."""
        return {"X-API-Key": self.keys[role]} if role is not None else {}


@contextmanager
def serving(
    database_url: str,
    kafka: str = NOWHERE,
    *,
    redis: str = "",
    keys: dict[Role, str] | None = None,
    **given: Any,
) -> Iterator[Api]:
    """Run the API on a free port until the end of the block, with settings of its own."""
    made = keys if keys is not None else make_keys(database_url)
    app = create_app(load_settings(**given), database_url, kafka, redis)
    server = uvicorn.Server(config(app))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            _wait_until_started(server, thread)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=60) as client:
                yield Api(url, database_url, made, client)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the server does not end"


def is_ready(url: str) -> bool:
    """Tell whether an API answers, with all that it needs."""
    try:
        told = httpx.get(f"{url}{PREFIX}/health/ready", timeout=10)
    except httpx.TransportError:
        return False
    return told.status_code == 200 and "away" not in told.json()["parts"].values()


def make_keys(database_url: str) -> dict[Role, str]:
    """Make a key of each role."""
    with transaction(database_url) as cursor:
        return {role: make(cursor, f"test {role}", role) for role in Role}


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive(), "the server ended at once"
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.005)


def read_topic(bootstrap: str, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Return key and value of every record of a topic, partition by partition."""
    ends = {TopicPartition(*place): end for place, end in end_offsets(bootstrap, [topic]).items()}
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    found = []
    try:
        consumer.assign(list(ends))
        consumer.seek_to_beginning(*ends)
        deadline = time.monotonic() + 60
        while any(consumer.position(place) < end for place, end in ends.items()):
            assert time.monotonic() < deadline, "not everything could be read back"
            for records in consumer.poll(timeout_ms=500).values():
                found += [(one.key, one.value) for one in records]
    finally:
        consumer.close()
    return found
