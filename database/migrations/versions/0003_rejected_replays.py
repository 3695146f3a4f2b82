"""Whether a rejected record was sent again, and where to."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "rejected_events",
        sa.Column(
            "replayed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When `encore rejected replay` sent it again; NULL: not yet",
        ),
    )
    op.add_column(
        "rejected_events",
        sa.Column(
            "replayed_to",
            sa.Text(),
            nullable=True,
            comment="Kafka partition/offset, in the same topic, where it was sent again",
        ),
    )
    op.create_check_constraint(
        op.f("ck_rejected_events_replayed"),
        "rejected_events",
        "(replayed_at IS NULL) = (replayed_to IS NULL)",
    )


def downgrade() -> None:
    """Take back."""
    op.drop_column("rejected_events", "replayed_to")
    op.drop_column("rejected_events", "replayed_at")
