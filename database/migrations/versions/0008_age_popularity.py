"""A new listener is recommended what is popular with listeners of about their age.

The table is empty until the next training: fallback_for then skips the step.
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FUNCTION = Path(__file__).parents[1] / "sql" / "0008_age_popularity.sql"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "age_popularity",
        sa.Column(
            "birth_decade",
            sa.SmallInteger(),
            nullable=False,
            comment="First year of the decade that the listeners were born in",
        ),
        sa.Column("rank", sa.SmallInteger(), nullable=False, comment="1 is the most popular"),
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "listeners",
            sa.BigInteger(),
            nullable=False,
            comment="Listeners who like it, 2 or more",
        ),
        sa.Column(
            "score",
            sa.Double(),
            nullable=False,
            comment="What they gave it, decayed to the newest event of the run, each listener one "
            "complete play at most",
        ),
        sa.CheckConstraint("rank >= 1", name=op.f("ck_age_popularity_rank")),
        sa.PrimaryKeyConstraint("birth_decade", "rank", name=op.f("pk_age_popularity")),
        comment="What is popular with listeners of an age, made anew with each run. One row a "
        "decade of birth and rank.",
    )
    op.execute(FUNCTION.read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    before = FUNCTION.with_name("0002_recommendations_for.sql").read_text(encoding="utf-8")
    # The other function of that file has been replaced since.
    fallback_for, _, _ = before.partition("CREATE FUNCTION recommendations_for")
    op.execute("DROP FUNCTION fallback_for(text, integer, text[])")
    op.execute(fallback_for)
    op.drop_table("age_popularity")
