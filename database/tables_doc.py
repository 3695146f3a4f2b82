"""docs/tables.md from the comments in the database itself: what each table and view holds."""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from psycopg2 import extensions

from database.engine import transaction
from encore.stack.endpoints import database_url

_SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Items by time",
        (
            "item_activity_5m",
            "item_activity_hour",
            "item_activity_day",
            "item_counts_5m",
            "item_counts_hour",
            "item_counts_day",
            "item_listeners",
        ),
    ),
    ("Trends", ("trending", "item_trends")),
    ("Users by time", ("user_activity", "user_activity_day", "user_counts_day")),
    ("Affinities", ("user_item_affinity", "user_genre_affinity", "user_artist_affinity")),
    ("Sessions", ("sessions", "session_counts")),
    ("The platform", ("platform_minutes", "platform_activity_minute", "minute_users")),
    ("Entities", ("users", "items", "artists", "albums", "genres", "item_genres")),
    (
        "Recommendations",
        (
            "current_recommendations",
            "recommendations",
            "model_runs",
            "published_run",
            "run_switches",
            "similar_items",
            "age_popularity",
            "model_artifacts",
        ),
    ),
    (
        "What came of recommendations",
        ("click_through", "click_through_drift", "recommendation_outcomes", "impressions"),
    ),
    ("Experiments", ("experiment_results", "experiments", "experiment_variants")),
    (
        "Lists seconds after what a user did",
        ("live_recommendations", "live_queue", "live_buckets", "live_workers"),
    ),
    (
        "The stream's books",
        (
            "stream_offsets",
            "ingest_audit",
            "rejected_events",
            "seen_events",
            "erasures",
            "feature_settings",
        ),
    ),
    ("The REST API", ("api_keys", "api_writes")),
)
_INTRODUCTION = """\
# Tables

What each table and view of the database holds. The same texts stand in the database as comments
(`\\d+ NAME` in psql); this file is made from them by
`python -m database.tables_doc > docs/tables.md`.

Stored tables hold only what is additive, so that micro-batches merge in any order; what follows
from them is a view. Times are UTC. A play is *complete* from `FEATURE_COMPLETE_RATIO` of the
track on, a *skip* below `FEATURE_SKIP_RATIO`. The *signal* of a play is the share of the track
that was played, at most 1, and 0 for a skip; a like gives `WEIGHT_LIKE`, an unlike takes it, an
addition to a playlist gives `WEIGHT_PLAYLIST_ADD`. Signals halve in a half-life. See
`encore settings` for the values.

Distinct listeners and active users are exact, not sketched. An event of a user or item that was
never announced is counted like any other; it has no row in `users` or `items` yet.
"""


class _Column(NamedTuple):
    name: str
    kind: str
    comment: str


def tables_markdown(cursor: extensions.cursor) -> str:
    """Return the text of docs/tables.md for the schema of a database."""
    return _INTRODUCTION + "".join(_sections(cursor))


def _sections(cursor: extensions.cursor) -> Iterator[str]:
    for title, names in _SECTIONS:
        yield f"\n## {title}\n"
        for name in names:
            yield _table(cursor, name)


def _table(cursor: extensions.cursor, name: str) -> str:
    cursor.execute(
        "SELECT c.oid, c.relkind = 'v', obj_description(c.oid), ("
        "  SELECT string_agg(a.attname, ', ' ORDER BY array_position(i.indkey, a.attnum))"
        "    FROM pg_index AS i JOIN pg_attribute AS a"
        "      ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
        "   WHERE i.indrelid = c.oid AND i.indisprimary) "
        "FROM pg_class AS c WHERE c.relname = %s AND c.relnamespace = 'public'::regnamespace",
        (name,),
    )
    ((oid, is_view, comment, key),) = cursor.fetchall()
    kind = "View" if is_view else f"Table, key ({key})"
    lines = [f"\n### {name}\n\n{kind}. {comment}\n\n| column | type | meaning |\n|---|---|---|\n"]
    lines += [f"| {one.name} | {one.kind} | {one.comment} |\n" for one in _columns(cursor, oid)]
    return "".join(lines)


def _columns(cursor: extensions.cursor, oid: int) -> Sequence[_Column]:
    cursor.execute(
        "SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) "
        "FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped "
        "ORDER BY attnum",
        (oid,),
    )
    return [_Column(*row) for row in cursor.fetchall()]


if __name__ == "__main__":
    with transaction(database_url()) as current:
        sys.stdout.write(tables_markdown(current))
