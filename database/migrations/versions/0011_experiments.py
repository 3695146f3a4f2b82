"""Experiments: variants of what is recommended, by a hash of the user, and what came of them."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "experiments",
        sa.Column("name", sa.Text(), nullable=False, comment="Which experiment"),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it began",
        ),
        sa.Column(
            "stopped_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was stopped; NULL: it runs",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_experiments")),
        comment="Experiments, of which one runs at a time. One row an experiment.",
    )
    op.create_index(
        "ix_experiments_running",
        "experiments",
        [sa.text("(stopped_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("stopped_at IS NULL"),
    )
    op.create_table(
        "experiment_variants",
        sa.Column("experiment", sa.Text(), nullable=False, comment="Which experiment"),
        sa.Column("variant", sa.Text(), nullable=False, comment="Which variant"),
        sa.Column(
            "place",
            sa.SmallInteger(),
            nullable=False,
            comment="1 is what the others are compared with",
        ),
        sa.Column(
            "bucket_from",
            sa.Integer(),
            nullable=False,
            comment="First bucket of users (experiment_bucket) that are shown it",
        ),
        sa.Column("bucket_to", sa.Integer(), nullable=False, comment="Bucket after the last"),
        sa.Column(
            "model_run_id",
            sa.BigInteger(),
            nullable=True,
            comment="Run whose lists are shown, as they were made; NULL: as to everybody",
        ),
        sa.Column(
            "max_per_artist",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Most items of one artist; 0: any number",
        ),
        sa.Column(
            "max_per_genre",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Most items of one main genre; 0: any number",
        ),
        sa.Column(
            "without",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Sources whose items are left out",
        ),
        sa.CheckConstraint(
            "0 <= bucket_from AND bucket_from < bucket_to AND bucket_to <= 10000",
            name=op.f("ck_experiment_variants_buckets"),
        ),
        sa.ForeignKeyConstraint(
            ["experiment"],
            ["experiments.name"],
            name=op.f("fk_experiment_variants_experiment"),
        ),
        sa.PrimaryKeyConstraint("experiment", "variant", name=op.f("pk_experiment_variants")),
        comment="What is shown to whom in an experiment. One row an experiment and variant.",
    )
    op.execute((SQL / "0011_experiments.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    op.execute("DROP FUNCTION lists_shown(integer)")
    op.execute("DROP FUNCTION recommendations_for(text, integer, text, text[], boolean, bigint)")
    before = (SQL / "0009_recommendations_for.sql").read_text(encoding="utf-8")
    op.execute(before[before.index("CREATE FUNCTION recommendations_for") :])
    for view in ("click_through_drift", "experiment_results"):
        op.execute(f"DROP VIEW {view}")
    op.execute("DROP FUNCTION wilson_bound(bigint, bigint, double precision)")
    op.execute("DROP FUNCTION experiment_bucket(text, text)")
    op.drop_table("experiment_variants")
    op.drop_table("experiments")
