"""Listeners who are forgotten, switches of runs, and a role for each part with what it needs and no more."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "erasures",
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the user's id"),
        sa.Column(
            "user_id", sa.Text(), nullable=True, comment="Who; NULL once all of it is erased"
        ),
        sa.Column("topic_id", sa.Text(), nullable=False, comment="Kafka's id of the events topic"),
        sa.Column(
            "until",
            JSONB(),
            nullable=True,
            comment="Where each partition of the events ended when it was asked for: what is before "
            "that is erased as it is counted; NULL once it is",
        ),
        sa.Column(
            "upto",
            JSONB(),
            nullable=True,
            comment="Offset of each partition of the events before which the user's count for "
            "nobody",
        ),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the stream counted the deletion",
        ),
        sa.Column(
            "erased_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When all of it was erased",
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erasures")),
        sa.CheckConstraint(
            "(user_id IS NULL) = (erased_at IS NOT NULL) AND (user_id IS NULL) = (until IS NULL)",
            name=op.f("ck_erasures_open"),
        ),
        comment="Users who were deleted. What names them is gone; counts that name nobody stay. "
        "One row a user.",
    )
    op.create_index(
        "ix_erasures_open", "erasures", ["digest"], postgresql_where=sa.text("user_id IS NOT NULL")
    )
    op.add_column(
        "rejected_events",
        sa.Column(
            "erased_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When key and value were erased, since they named a deleted user",
        ),
    )
    op.create_table(
        "run_switches",
        sa.Column(
            "switched_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When readers were switched",
        ),
        sa.Column(
            "model_run_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="To which run, kept or not",
        ),
        sa.PrimaryKeyConstraint("switched_at", name=op.f("pk_run_switches")),
        comment="Which run readers saw when: each run that was published or taken back to. One row "
        "a switch.",
    )
    # Runs that were taken back to before have lost when they were published first.
    op.execute(
        "INSERT INTO run_switches SELECT published_at, model_run_id FROM model_runs "
        "JOIN published_run USING (model_run_id) WHERE published_at IS NOT NULL"
    )
    for name in ("0012_erasures.sql", "0012_roles.sql"):
        op.execute((SQL / name).read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    for function in (
        "grant_roles()",
        "leave_out_erased(bigint)",
        "begin_erasure(text, text, text, jsonb)",
        "finish_erasures(text, text)",
        "erase_user(text)",
        "user_digest(text)",
    ):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("run_switches")
    op.drop_column("rejected_events", "erased_at")
    op.drop_table("erasures")
