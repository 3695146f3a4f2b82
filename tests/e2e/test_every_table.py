"""The whole way on real services: produced, streamed, and every row as recomputed."""

import json
import uuid
from dataclasses import dataclass, field

import pytest

from database.engine import transaction
from database.migrate import upgrade
from encore.events import Topics
from tests.comparison import accounts, differences, read_table, rejected
from tests.oracle import Expected, expect, read_topic
from tests.programs import encore

pytestmark = [pytest.mark.e2e, pytest.mark.services]


@dataclass(frozen=True)
class Loop:
    """A run of the producer, counted by the stream, and what must have come of it."""

    env: dict[str, str] = field(repr=False)
    database: str = field(repr=False)
    topics: Topics
    expected: Expected = field(repr=False)


@pytest.fixture(scope="module")
def loop(kafka: str, postgres_url: str) -> Loop:
    prefix = f"e2e-{uuid.uuid4().hex[:8]}"
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "DATABASE_URL": postgres_url,
        "KAFKA_TOPIC_PREFIX": prefix,
        "SPARK_MASTER": "local[2]",
    }
    upgrade(postgres_url)
    encore(
        "produce",
        "--quiet",
        "--history=14d",
        "--live-from=2026-11-01T00:00:00Z",
        "--until=2026-11-01T00:00:00Z",
        "--seed=11",
        "--users=3000",
        "--tracks=5000",
        "--history-events=150000",
        "--max-events=120000",
        "--late=0.03",
        "--duplicates=0.03",
        "--malformed=0.01",
        env=env,
    )
    encore("stream", "--available-now", env=env, timeout=600)
    topics = Topics.of(prefix)
    return Loop(env, postgres_url, topics, expect(read_topic(kafka, topics.events)))


def test_there_is_something_of_everything_to_compare(loop: Loop) -> None:
    total = {name: sum(one[name] for one in loop.expected.accounts.values())
             for name in ("accepted", "late", "duplicate", "rejected")}  # fmt: skip
    assert total["accepted"] + total["duplicate"] + total["rejected"] == 120_000
    assert min(total.values()) > 600
    assert len({reason for reason, *_ in loop.expected.rejected.values()}) >= 10


def test_every_feature_table_equals_the_recomputation_to_the_row(loop: Loop) -> None:
    with transaction(loop.database) as cursor:
        found = differences(cursor, loop.expected)
    assert {name: (len(lines), lines[:3]) for name, lines in found.items()} == {}


def test_every_record_is_accepted_duplicate_or_rejected(loop: Loop) -> None:
    with transaction(loop.database) as cursor:
        assert accounts(cursor, loop.topics.events) == loop.expected.accounts
        cursor.execute(
            "SELECT sum(read), sum(accepted), sum(late), sum(duplicate), sum(rejected) "
            "FROM ingest_audit WHERE topic = %s",
            (loop.topics.events,),
        )
        (audited,) = cursor.fetchall()
    totals = [
        sum(one[name] for one in loop.expected.accounts.values())
        for name in ("accepted", "late", "duplicate", "rejected")
    ]
    read = totals[0] + totals[2] + totals[3]
    assert [int(one) for one in audited] == [read, *totals]


def test_rejected_records_keep_their_bytes_and_their_reason(loop: Loop) -> None:
    with transaction(loop.database) as cursor:
        assert rejected(cursor, loop.topics.events) == loop.expected.rejected


def test_users_and_items_are_as_last_announced(loop: Loop) -> None:
    users = {}
    for record in read_topic(loop.env["KAFKA_BOOTSTRAP_SERVERS"], loop.topics.users):
        user = json.loads(record.value or b"{}")
        users[user["user_id"]] = (user["name"], user["country"], user["level"])
    items = {}
    for record in read_topic(loop.env["KAFKA_BOOTSTRAP_SERVERS"], loop.topics.items):
        item = json.loads(record.value or b"{}")
        items[item["item_id"]] = (
            item["title"],
            item["artist_name"],
            item["album_title"],
            item["duration_ms"],
            item["genres"],
        )
    with transaction(loop.database) as cursor:
        cursor.execute("SELECT user_id, name, country, level FROM users")
        assert {one: tuple(rest) for one, *rest in cursor.fetchall()} == users
        cursor.execute(
            "SELECT item_id, i.title, a.name, b.title, duration_ms, "
            "array_agg(genre ORDER BY position) FROM items AS i JOIN artists AS a "
            "USING (artist_id) JOIN albums AS b USING (album_id) JOIN item_genres USING (item_id) "
            "GROUP BY item_id, i.title, a.name, b.title, duration_ms"
        )
        assert {one: tuple(rest) for one, *rest in cursor.fetchall()} == items


def test_distinct_listeners_are_exact_at_every_grain(loop: Loop) -> None:
    listeners: dict[tuple[str, str, object], set[str]] = {}
    for item, five, user in loop.expected.tables["item_listeners"]:
        hour = five.replace(minute=0)
        for grain, start in (("5m", five), ("hour", hour), ("day", hour.replace(hour=0))):
            listeners.setdefault((grain, item, start), set()).add(user)
    with transaction(loop.database) as cursor:
        for grain in ("5m", "hour", "day"):
            view = read_table(cursor, f"item_activity_{grain}", ("item_id", "bucket_start"))
            found = {key: row["listeners"] for key, row in view.items() if row["listeners"]}
            assert found == {
                (item, start): len(users)
                for (one, item, start), users in listeners.items()
                if one == grain
            }


def test_user_activity_has_the_sessions_and_the_totals(loop: Loop) -> None:
    sessions: dict[str, int] = {}
    for user, _ in loop.expected.tables["session_counts"]:
        sessions[user] = sessions.get(user, 0) + 1
    totals: dict[str, list[int]] = {}
    for (user, _), row in loop.expected.tables["user_counts_day"].items():
        total = totals.setdefault(user, [0, 0, 0])
        for place, name in enumerate(("plays", "skips", "ms_played")):
            total[place] += row[name]
    with transaction(loop.database) as cursor:
        cursor.execute("SELECT user_id, sessions, plays, skips, ms_played FROM user_activity")
        found = {user: tuple(rest) for user, *rest in cursor.fetchall()}
        cursor.execute("SELECT user_id, sum(sessions) FROM user_activity_day GROUP BY 1")
        by_day = {user: int(count) for user, count in cursor.fetchall() if count}
    assert found == {user: (sessions.get(user, 0), *total) for user, total in totals.items()}
    assert by_day == sessions


def test_platform_minutes_count_events_and_distinct_users(loop: Loop) -> None:
    events: dict[object, int] = {}
    for (minute, *_), row in loop.expected.tables["platform_activity_minute"].items():
        events[minute] = events.get(minute, 0) + row["events"]
    users: dict[object, int] = {}
    for minute, _ in loop.expected.tables["minute_users"]:
        users[minute] = users.get(minute, 0) + 1
    with transaction(loop.database) as cursor:
        cursor.execute("SELECT minute, events, active_users FROM platform_minutes")
        found = {minute: tuple(rest) for minute, *rest in cursor.fetchall()}
    assert found == {minute: (events[minute], users[minute]) for minute in events}


def test_trends_and_affinities_decay_to_now(loop: Loop) -> None:
    with transaction(loop.database) as cursor:
        cursor.execute("SELECT now()")
        ((now,),) = cursor.fetchall()
        cursor.execute("SELECT item_id, genre FROM item_genres")
        genres: dict[str, list[str]] = {}
        for item, genre in cursor.fetchall():
            genres.setdefault(item, []).append(genre)
        cursor.execute("SELECT user_id, genre, signal FROM user_genre_affinity")
        found = {(user, genre): signal for user, genre, signal in cursor.fetchall()}
        cursor.execute("SELECT item_id, artist_id FROM items")
        artists = dict(cursor.fetchall())
        cursor.execute("SELECT user_id, artist_id, signal FROM user_artist_affinity")
        found_of_artists = {(user, artist): signal for user, artist, signal in cursor.fetchall()}
        cursor.execute("SELECT scope, scope_value, item_id FROM trending ORDER BY heat DESC")
        ranked = cursor.fetchall()
    wanted: dict[tuple[str, str], float] = {}
    wanted_of_artists: dict[tuple[str, str], float] = {}
    for (user, item), row in loop.expected.tables["user_item_affinity"].items():
        carried = row["signal"] * 2.0 ** (-(now - row["last_at"]).total_seconds() / (30 * 86_400))
        for genre in genres[item]:
            wanted[user, genre] = wanted.get((user, genre), 0.0) + carried
        wanted_of_artists[user, artists[item]] = (
            wanted_of_artists.get((user, artists[item]), 0.0) + carried
        )
    assert found == pytest.approx(wanted, rel=1e-9)
    assert found_of_artists == pytest.approx(wanted_of_artists, rel=1e-9)
    trends = loop.expected.tables["item_trends"]

    def carried_on(country: str, item: str) -> float:
        row = trends[country, item]
        # As of one moment for all, near enough to keep the powers within a double.
        age = (row["as_of"] - now).total_seconds() + 20 * 86_400
        return float(row["score"] * 2.0 ** (age / (6 * 3_600)))

    in_countries = {(place, item) for scope, place, item in ranked if scope == "country"}
    assert in_countries == {key for key, row in trends.items() if key[0] and row["score"] > 0}
    everywhere = [item for scope, _, item in ranked if scope == "global"]
    positive = {item for (country, item), row in trends.items() if not country and row["score"] > 0}
    assert set(everywhere) == positive
    scores = [carried_on("", item) for item in everywhere]
    assert scores == sorted(scores, reverse=True)
    jazz = [item for scope, value, item in ranked if (scope, value) == ("genre", "Jazz")]
    assert jazz == [item for item in everywhere if "Jazz" in genres[item]]
