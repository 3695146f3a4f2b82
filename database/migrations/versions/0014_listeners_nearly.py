"""Find listeners whose name is nearly what was asked for: another letter, an accent left out."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    """Apply."""
    has_trigrams = op.get_bind().scalar(
        sa.text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')")
    )
    form = "trigrams" if has_trigrams else "plain"
    op.execute((SQL / f"0014_user_matches_{form}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    op.execute("DROP FUNCTION user_matches(text)")
