"""Recommendations for any user: the published list, then the fallback chain."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FUNCTIONS = Path(__file__).parents[1] / "sql" / "0002_recommendations_for.sql"


def upgrade() -> None:
    """Apply."""
    op.execute(FUNCTIONS.read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    op.execute("DROP FUNCTION recommendations_for(text, integer)")
    op.execute("DROP FUNCTION fallback_for(text, integer, text[])")
