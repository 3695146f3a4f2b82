"""What came of recommendations: impressions, and the plays and likes that follow them."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

VIEW = Path(__file__).parents[1] / "sql" / "0010_outcomes.sql"
_RUN = "Run that made the list; 0: none did"
_VARIANT = "Variant of an experiment; empty: none"
_POSITION = "Place in the list, 1 is the first"
# What counted every type of event does not count this new one.
_OF_EVERY_TYPE = (
    "user_counts_day.events",
    "user_activity_day.events",
    "user_activity.events",
    "session_counts.events",
    "sessions.events",
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "impressions",
        sa.Column("partition", sa.Integer(), nullable=False, comment="Kafka partition"),
        sa.Column("offset", sa.BigInteger(), nullable=False, comment="Kafka offset"),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who saw it"),
        sa.Column("item_id", sa.Text(), nullable=False, comment="What was shown"),
        sa.Column(
            "shown_at", sa.DateTime(timezone=True), nullable=False, comment="When it was shown"
        ),
        sa.Column(
            "arrived_at", sa.DateTime(timezone=True), nullable=False, comment="Arrival in Kafka"
        ),
        sa.Column("model_run_id", sa.BigInteger(), nullable=False, comment=_RUN),
        sa.Column("variant", sa.Text(), nullable=False, comment=_VARIANT),
        sa.Column("source", sa.Text(), nullable=False, comment="What put the item there"),
        sa.Column("position", sa.Integer(), nullable=False, comment=_POSITION),
        _mark("played", "Whether a play is credited to it"),
        _mark("liked", "Whether a like is credited to it"),
        comment="Items that were shown, for as long as a play or like to come may belong to them: "
        "FEATURE_OUTCOME_WINDOW_HOURS and FEATURE_OUTCOME_LATENESS_HOURS. One row an impression.",
    )
    op.create_index(op.f("ix_impressions_user_id_item_id"), "impressions", ["user_id", "item_id"])
    op.create_index(
        op.f("ix_impressions_arrived_at"), "impressions", ["arrived_at"], postgresql_using="brin"
    )
    # Room on each page for a row that a play or like changes.
    op.execute("ALTER TABLE impressions SET (fillfactor = 90)")
    op.create_table(
        "recommendation_outcomes",
        sa.Column(
            "hour",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Hour in which they were shown, UTC",
        ),
        sa.Column(
            "model_run_id", sa.BigInteger(), autoincrement=False, nullable=False, comment=_RUN
        ),
        sa.Column("variant", sa.Text(), nullable=False, comment=_VARIANT),
        sa.Column("source", sa.Text(), nullable=False, comment="What put the items there"),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False, comment=_POSITION),
        _count("impressions", "Items shown"),
        _count(
            "plays",
            "Impressions that a play followed. A play belongs to the newest impression of its user "
            "and item that stands before it in Kafka, in its partition, and happened within "
            "FEATURE_OUTCOME_WINDOW_HOURS before it, unless the play arrived more than that and "
            "FEATURE_OUTCOME_LATENESS_HOURS after it. Of several the first counts",
        ),
        _count("completes", "Of these plays: complete ones"),
        _count("skips", "Of these plays: skips"),
        _count(
            "likes", "Impressions that a like followed, as for plays. An unlike takes none away"
        ),
        sa.PrimaryKeyConstraint(
            "hour",
            "model_run_id",
            "variant",
            "source",
            "position",
            name=op.f("pk_recommendation_outcomes"),
        ),
        comment="What came of what was shown. One row an hour of event time, run, variant, source "
        "and position.",
    )
    op.execute(VIEW.read_text(encoding="utf-8"))
    for column in _OF_EVERY_TYPE:
        op.execute(f"COMMENT ON COLUMN {column} IS 'Events of every type but impressions'")
    op.execute(
        "COMMENT ON COLUMN platform_minutes.active_users IS 'Distinct users who did something'"
    )
    for table in ("impressions", "recommendation_outcomes"):
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02, "
            "autovacuum_analyze_scale_factor = 0.05)"
        )


def _mark(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.Boolean(), server_default=sa.text("false"), nullable=False, comment=comment
    )


def _count(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment=comment
    )


def downgrade() -> None:
    """Take back."""
    for column in _OF_EVERY_TYPE:
        op.execute(f"COMMENT ON COLUMN {column} IS 'Events of every type'")
    op.execute("COMMENT ON COLUMN platform_minutes.active_users IS 'Distinct users with an event'")
    op.execute("DROP VIEW click_through")
    op.drop_table("recommendation_outcomes")
    op.drop_table("impressions")
