"""Repeats recognised exactly, and listeners kept as lists: less to write for each event.

The ids of accepted events move into the database. Who played what, and who was active when,
become lists that batches append to, since a row a play with a unique index was half of what a
batch cost. Two indexes that no query uses any more go, so that an update of an affinity touches
no index at all.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Room on each page lets an update stay on it, beside the row it replaces.
_UPDATED = (
    "item_counts_5m",
    "item_counts_hour",
    "item_counts_day",
    "user_counts_day",
    "user_item_affinity",
    "session_counts",
    "platform_activity_minute",
)

_LISTENERS_VIEW = """
CREATE OR REPLACE VIEW item_activity_{name} AS
SELECT c.item_id, c.bucket_start, c.plays, c.completes, c.skips, c.likes, c.unlikes, c.dislikes,
       c.playlist_adds, c.ms_played,
       (SELECT count(DISTINCT listener)
          FROM item_listeners AS l CROSS JOIN unnest(l.user_ids) AS listener
         WHERE l.item_id = c.item_id
           AND l.bucket_start >= c.bucket_start
           AND l.bucket_start < c.bucket_start + interval '{width}') AS listeners
  FROM item_counts_{name} AS c
"""
_PLATFORM_VIEW = """
CREATE OR REPLACE VIEW platform_minutes AS
SELECT c.minute, sum(c.events)::bigint AS events,
       (SELECT count(DISTINCT active)
          FROM minute_users AS u CROSS JOIN unnest(u.user_ids) AS active
         WHERE u.minute = c.minute) AS active_users
  FROM platform_activity_minute AS c
 GROUP BY c.minute
"""


def upgrade() -> None:
    """Apply."""
    _keep_seen_events()
    op.add_column(
        "stream_offsets",
        sa.Column(
            "gaps",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("0"),
            comment="Offsets without a record: compacted away, or the marks of a transaction",
        ),
    )
    op.add_column(
        "stream_offsets",
        sa.Column(
            "closed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the topic was given up for one made anew",
        ),
    )
    _list_listeners()
    _list_active_users()
    for name, width in (("5m", "5 minutes"), ("hour", "1 hour"), ("day", "24 hours")):
        op.execute(_LISTENERS_VIEW.format(name=name, width=width))
    op.execute(_PLATFORM_VIEW)
    op.execute("DROP TABLE rows_of_listeners, rows_of_active_users")
    op.drop_index("ix_user_item_affinity_item_id", "user_item_affinity")
    op.drop_index("ix_user_item_affinity_last_at", "user_item_affinity")
    for table in _UPDATED:
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 80)")


def _keep_seen_events() -> None:
    op.create_table(
        "seen_events",
        sa.Column("segment", sa.Uuid(), nullable=False, comment="Name of the segment"),
        sa.Column("topic", sa.Text(), nullable=False, comment="Kafka topic"),
        sa.Column("partition", sa.Integer(), nullable=False, comment="Kafka partition"),
        sa.Column("events", sa.BigInteger(), nullable=False, comment="Ids in the segment"),
        sa.Column(
            "newest_ms",
            sa.BigInteger(),
            nullable=False,
            comment="Arrival of the newest id, in ms since 1970-01-01 UTC",
        ),
        sa.Column(
            "packed",
            sa.LargeBinary(),
            nullable=False,
            comment="Ids and arrivals, sorted and packed (see streaming/duplicates.py)",
        ),
        sa.PrimaryKeyConstraint("segment", name=op.f("pk_seen_events")),
        comment="Ids of the events accepted within the duplicate horizon, packed: what the "
        "stream recognises repeats by. One row a segment of a partition.",
    )
    op.create_index(op.f("ix_seen_events_topic_partition"), "seen_events", ["topic", "partition"])
    # Packed ids do not compress; trying costs time.
    op.execute("ALTER TABLE seen_events ALTER COLUMN packed SET STORAGE EXTERNAL")


def _list_listeners() -> None:
    op.rename_table("item_listeners", "rows_of_listeners")
    op.create_table(
        "item_listeners",
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "bucket_start",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the 5 minutes, UTC",
        ),
        sa.Column(
            "user_ids",
            ARRAY(sa.Text()),
            nullable=False,
            comment="Who played it, as found by one batch",
        ),
        comment="Who played an item in which 5 minutes: makes distinct listeners exact. "
        "One row an item, 5 minutes and batch; a user may stand in several.",
    )
    op.execute(
        "INSERT INTO item_listeners SELECT item_id, bucket_start, array_agg(user_id) "
        "FROM rows_of_listeners GROUP BY item_id, bucket_start"
    )
    op.create_index(
        op.f("ix_item_listeners_item_id_bucket_start"),
        "item_listeners",
        ["item_id", "bucket_start"],
    )


def _list_active_users() -> None:
    op.rename_table("minute_users", "rows_of_active_users")
    op.create_table(
        "minute_users",
        sa.Column(
            "minute",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the minute of event time, UTC",
        ),
        sa.Column(
            "user_ids",
            ARRAY(sa.Text()),
            nullable=False,
            comment="Who was active, as found by one batch",
        ),
        comment="Who was active in which minute: makes active users exact. "
        "One row a minute and batch; a user may stand in several.",
    )
    op.execute(
        "INSERT INTO minute_users SELECT minute, array_agg(user_id) "
        "FROM rows_of_active_users GROUP BY minute"
    )
    op.create_index(op.f("ix_minute_users_minute"), "minute_users", ["minute"])


def downgrade() -> None:
    """Refuse: what a list tells apart by batch cannot be told apart by row again."""
    raise NotImplementedError("0004 cannot be taken back; restore a backup")
