"""Lists that follow what a user did within seconds, between two runs of the model."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FUNCTIONS = Path(__file__).parents[1] / "sql" / "0006_live.sql"
BUCKETS = 64
_VIEW_BEFORE = """
CREATE OR REPLACE VIEW current_recommendations AS
SELECT r.model_run_id, r.user_id, r.rank, r.item_id, r.score, r.source, r.reason
  FROM recommendations AS r
  JOIN published_run AS p USING (model_run_id);
COMMENT ON VIEW current_recommendations IS
  'Lists of the published run. One row a user and rank.';
"""


def upgrade() -> None:
    """Apply."""
    _make_queue()
    op.create_table(
        "live_workers",
        sa.Column("worker", sa.Uuid(), nullable=False, comment="Start of the worker"),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it last said that it works; registered for an hour from then",
        ),
        sa.Column(
            "caught_up",
            sa.Boolean(),
            nullable=False,
            comment="Whether everything since the last time without a worker was queued when it "
            "registered",
        ),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_live_workers")),
        comment="Workers of `encore live`: while one is registered, the stream queues who did "
        "something. One row a start.",
    )
    _make_recommendations()
    op.execute(FUNCTIONS.read_text(encoding="utf-8"))


def _make_queue() -> None:
    op.create_table(
        "live_queue",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Whose list is to be made anew"),
        sa.Column("bucket", sa.SmallInteger(), nullable=False, comment="live_bucket(user_id)"),
        sa.Column(
            "bulk",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether it may wait until those who just did something are served",
        ),
        sa.Column(
            "queued_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was put here",
        ),
        comment="Users whose list `encore live` is to make anew. The stream puts them here in the "
        "transaction that counts what they did, while a worker is registered. A user may stand "
        "here several times.",
    )
    op.create_index(op.f("ix_live_queue_bulk_bucket"), "live_queue", ["bulk", "bucket"])
    # Every row is deleted soon, however few there are at a time.
    op.execute(
        "ALTER TABLE live_queue SET (autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_vacuum_threshold = 5000)"
    )
    op.create_table(
        "live_buckets",
        sa.Column(
            "bucket", sa.SmallInteger(), nullable=False, comment="Number of the bucket, 0 to 63"
        ),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_live_buckets")),
        comment="What workers of `encore live` lock, so that none has a user that another has in "
        "hand. One row a bucket of users.",
    )
    op.execute(f"INSERT INTO live_buckets SELECT generate_series(0, {BUCKETS - 1})")


def _make_recommendations() -> None:
    op.create_table(
        "live_recommendations",
        sa.Column("user_id", sa.Text(), nullable=False, comment="For whom"),
        sa.Column(
            "model_run_id",
            sa.BigInteger(),
            nullable=False,
            comment="Run whose model made it: the list counts while that run is published. 0: no "
            "model was published",
        ),
        sa.Column(
            "made_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it was made; what was counted before is in it",
        ),
        sa.Column(
            "item_ids",
            ARRAY(sa.Text()),
            nullable=False,
            comment="What, best first; empty where nothing is known that the user likes",
        ),
        sa.Column(
            "scores",
            ARRAY(sa.Double()),
            nullable=False,
            comment="Score of each by its source, descending",
        ),
        sa.Column("sources", ARRAY(sa.Text()), nullable=False, comment="Source of each"),
        sa.Column(
            "reasons", ARRAY(sa.Text()), nullable=False, comment="Reason of each, for a person"
        ),
        sa.CheckConstraint(
            "cardinality(scores) = cardinality(item_ids) "
            "AND cardinality(sources) = cardinality(item_ids) "
            "AND cardinality(reasons) = cardinality(item_ids)",
            name=op.f("ck_live_recommendations_lengths"),
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_live_recommendations")),
        comment="Lists made by `encore live` since the runs, which go before the run's own. One "
        "row a user.",
    )
    op.execute(
        "ALTER TABLE live_recommendations SET (autovacuum_vacuum_scale_factor = 0.02, "
        "autovacuum_analyze_scale_factor = 0.05)"
    )


def downgrade() -> None:
    """Take back."""
    op.execute("DROP FUNCTION recommendations_for(text, integer)")
    op.execute("DROP FUNCTION fallback_for(text, integer, text[])")
    op.execute(FUNCTIONS.with_name("0002_recommendations_for.sql").read_text(encoding="utf-8"))
    op.execute(_VIEW_BEFORE)
    for table in ("live_recommendations", "live_workers", "live_buckets", "live_queue"):
        op.drop_table(table)
    op.execute("DROP FUNCTION live_bucket(text)")
