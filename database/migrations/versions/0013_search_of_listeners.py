"""Indexes by which listeners are found by the beginning of an id or a part of a name."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_users_beginning", "users", [sa.text("lower(user_id) text_pattern_ops")])
    has_trigrams = op.get_bind().scalar(
        sa.text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')")
    )
    if has_trigrams:
        op.create_index(
            "ix_users_name_trigrams", "users", ["name"],
            postgresql_using="gin", postgresql_ops={"name": "gin_trgm_ops"},
        )  # fmt: skip


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_users_name_trigrams", "users", if_exists=True)
    op.drop_index("ix_users_beginning", "users")
