"""What the demo reads from the database: each function is one small query."""

from collections.abc import Mapping
from typing import Any

from psycopg2 import extensions, sql

from database.schema import METADATA
from demo.snapshot import Model, Outcome, Play, Recommendation, TopicProgress, Trend

# Tracks whose newest plays say who is listening just now.
RECENT_SESSIONS = 500


def read_progress(
    cursor: extensions.cursor, topic_ids: Mapping[str, str]
) -> dict[str, TopicProgress]:
    """Return how far each topic is counted; one that is not yet is left out."""
    cursor.execute(
        "SELECT topic, sum(first_offset)::bigint, sum(next_offset)::bigint,"
        " sum(accepted)::bigint, sum(late)::bigint, sum(duplicate)::bigint,"
        " sum(rejected)::bigint,"
        " extract(epoch FROM clock_timestamp() - max(arrived_at))::double precision,"
        " extract(epoch FROM clock_timestamp() - max(updated_at))::double precision"
        " FROM stream_offsets WHERE (topic, topic_id) IN %s GROUP BY topic",
        (tuple(topic_ids.items()),),
    )
    return {topic: TopicProgress(*rest) for topic, *rest in cursor.fetchall()}


def read_offsets(
    cursor: extensions.cursor, topic_ids: Mapping[str, str]
) -> dict[tuple[str, int], int]:
    """Return the first offset not yet counted, of each partition."""
    cursor.execute(
        "SELECT topic, partition, next_offset FROM stream_offsets WHERE (topic, topic_id) IN %s",
        (tuple(topic_ids.items()),),
    )
    return {(topic, partition): offset for topic, partition, offset in cursor.fetchall()}


def read_trending(cursor: extensions.cursor, limit: int) -> tuple[Trend, ...]:
    """Return what is trending everywhere, hottest first."""
    cursor.execute(
        "SELECT coalesce(i.title, t.item_id), coalesce(a.name, ''),"
        " halved(t.score, now() - t.as_of,"
        " feature_setting('feature_trend_half_life_hours') * 3600)"
        " FROM (SELECT * FROM item_trends WHERE country = ''"
        " ORDER BY heat DESC NULLS LAST LIMIT %s) AS t"
        " LEFT JOIN items AS i USING (item_id) LEFT JOIN artists AS a USING (artist_id)"
        " ORDER BY t.heat DESC NULLS LAST",
        (limit,),
    )
    return tuple(Trend(*row) for row in cursor.fetchall())


def read_open_sessions(cursor: extensions.cursor) -> int:
    """Return how many visits are going on."""
    cursor.execute(
        "SELECT count(*) FROM sessions WHERE open AND last_event_at > now()"
        " - feature_setting('feature_session_timeout_minutes') * interval '1 minute'"
    )
    return _number(cursor)


def read_model(cursor: extensions.cursor) -> tuple[Model, float] | None:
    """Return the published run and its age in s, or None before the first."""
    cursor.execute(
        "SELECT m.model_run_id, m.algorithm, m.published_at, coalesce(m.metrics, '{}'),"
        " coalesce(m.interactions, 0), coalesce(m.message, ''),"
        " extract(epoch FROM clock_timestamp() - m.published_at)::double precision"
        " FROM model_runs AS m JOIN published_run USING (model_run_id)"
    )
    row = cursor.fetchone()
    return (Model(*row[:-1]), row[-1] or 0.0) if row else None


def has_recommendations(cursor: extensions.cursor) -> bool:
    """Tell whether readers see any recommendation that was made in advance."""
    cursor.execute("SELECT EXISTS (SELECT FROM current_recommendations)")
    return bool((cursor.fetchone() or (False,))[0])


def read_active_listener(cursor: extensions.cursor) -> str | None:
    """Return who plays the most just now, by preference someone with a personal list."""
    cursor.execute(
        "SELECT r.user_id FROM (SELECT user_id, plays FROM session_counts WHERE plays > 0"
        " ORDER BY last_event_at DESC LIMIT %s) AS r"
        " ORDER BY EXISTS (SELECT FROM current_recommendations AS c"
        " WHERE c.user_id = r.user_id AND c.source = 'personal') DESC, r.plays DESC, r.user_id"
        " LIMIT 1",
        (RECENT_SESSIONS,),
    )
    row = cursor.fetchone()
    return str(row[0]) if row else None


def read_person(cursor: extensions.cursor, user_id: str) -> tuple[str, str]:
    """Return a listener's name and place, empty where nobody announced them."""
    cursor.execute(
        "SELECT coalesce(name, ''), concat_ws(', ', city, country) FROM users WHERE user_id = %s",
        (user_id,),
    )
    row = cursor.fetchone()
    return (str(row[0]), str(row[1])) if row else ("", "")


def read_plays(cursor: extensions.cursor, user_id: str, limit: int) -> tuple[Play, ...]:
    """Return the tracks that a listener last did something with, newest first."""
    cursor.execute(
        "SELECT coalesce(i.title, k.item_id), coalesce(a.name, ''), k.plays, k.skips,"
        " k.likes - k.unlikes, extract(epoch FROM now() - k.last_at)::double precision"
        " FROM (SELECT * FROM user_item_affinity WHERE user_id = %s"
        " ORDER BY last_at DESC, item_id LIMIT %s) AS k"
        " LEFT JOIN items AS i USING (item_id) LEFT JOIN artists AS a USING (artist_id)"
        " ORDER BY k.last_at DESC, k.item_id",
        (user_id, limit),
    )
    return tuple(Play(*row) for row in cursor.fetchall())


def read_recommendations(
    cursor: extensions.cursor, user_id: str, limit: int
) -> tuple[Recommendation, ...]:
    """Return what is recommended to anyone at this moment."""
    cursor.execute(
        "SELECT r.rank, coalesce(i.title, r.item_id), coalesce(a.name, ''), r.source,"
        " coalesce(r.reason, '')"
        " FROM recommendations_for(%s, %s) AS r"
        " LEFT JOIN items AS i USING (item_id) LEFT JOIN artists AS a USING (artist_id)"
        " ORDER BY r.rank",
        (user_id, limit),
    )
    return tuple(Recommendation(*row) for row in cursor.fetchall())


def read_outcomes(cursor: extensions.cursor) -> tuple[Outcome, ...]:
    """Return what came of what was shown, the source shown most first."""
    cursor.execute(
        "SELECT source, sum(impressions)::bigint, sum(plays)::bigint FROM recommendation_outcomes"
        " GROUP BY source ORDER BY 2 DESC, 1"
    )
    return tuple(Outcome(*row) for row in cursor.fetchall())


def count_rows(cursor: extensions.cursor) -> dict[str, int]:
    """Return the rows of every table of the schema and of every view, by name."""
    cursor.execute("SELECT viewname FROM pg_views WHERE schemaname = current_schema()")
    names = sorted({*METADATA.tables, *(str(row[0]) for row in cursor.fetchall())})
    return {name: _count(cursor, name) for name in names}


def _count(cursor: extensions.cursor, name: str) -> int:
    cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)))
    return _number(cursor)


def _number(cursor: extensions.cursor) -> int:
    row: tuple[Any, ...] = cursor.fetchone() or (0,)
    return int(row[0])
