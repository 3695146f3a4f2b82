"""Models are kept as files, similar items as a table, and a run can be refused.

The vectors of ``item_factors`` are in ``items.parquet`` of a run now, with what else it takes to
make lists. Lists that are published stay; for the rest, the next training makes the files.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_STATUS = "status IN ('running', 'published', 'superseded', {}'failed')"
_SOURCES = "personal, {}genre, trending or popular"


def upgrade() -> None:
    """Apply."""
    op.drop_table("item_factors")
    op.create_table(
        "similar_items",
        sa.Column("model_run_id", sa.BigInteger(), nullable=False, comment="Run that made it"),
        sa.Column("item_id", sa.Text(), nullable=False, comment="To what"),
        sa.Column("rank", sa.SmallInteger(), nullable=False, comment="1 is the most similar"),
        sa.Column("similar_item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "score",
            sa.Double(),
            nullable=False,
            comment="1 where all of the sources have it first, to 0",
        ),
        sa.Column(
            "source",
            sa.Text(),
            nullable=False,
            comment="What says so first: factors, co-listening or text",
        ),
        sa.CheckConstraint("rank >= 1", name=op.f("ck_similar_items_rank")),
        sa.PrimaryKeyConstraint("model_run_id", "item_id", "rank", name=op.f("pk_similar_items")),
        comment="Items that are like an item, a partition a run. One row a run, item and rank.",
        postgresql_partition_by="LIST (model_run_id)",
    )
    op.create_table(
        "model_artifacts",
        sa.Column("model_run_id", sa.BigInteger(), nullable=False, comment="Run that made it"),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="items.parquet, content.parquet or model.json",
        ),
        sa.Column(
            "part", sa.Integer(), nullable=False, comment="Number of the part of the file, from 0"
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="Bytes of the part"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the whole file"),
        sa.ForeignKeyConstraint(
            ["model_run_id"],
            ["model_runs.model_run_id"],
            name=op.f("fk_model_artifacts_model_run_id_model_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_run_id", "name", "part", name=op.f("pk_model_artifacts")),
        comment="Files of the models: item factors, content weights, parameters. One row a run, "
        "file and part.",
    )
    # Parquet is compressed: PostgreSQL need not try again.
    op.execute("ALTER TABLE model_artifacts ALTER COLUMN content SET STORAGE EXTERNAL")
    _say("refused", "explore, ")


def downgrade() -> None:
    """Take back."""
    op.execute("UPDATE model_runs SET status = 'failed' WHERE status = 'refused'")
    _say("", "")
    op.drop_table("model_artifacts")
    op.drop_table("similar_items")
    op.create_table(
        "item_factors",
        sa.Column("model_run_id", sa.BigInteger(), nullable=False, comment="Run that made it"),
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "factors", postgresql.ARRAY(sa.REAL()), nullable=False, comment="Vector of length rank"
        ),
        sa.PrimaryKeyConstraint("model_run_id", "item_id", name=op.f("pk_item_factors")),
        comment="Item vectors of the ALS model, a partition a run. One row a run and item.",
        postgresql_partition_by="LIST (model_run_id)",
    )


def _say(refused: str, explore: str) -> None:
    op.drop_constraint("ck_model_runs_status", "model_runs")
    op.create_check_constraint(
        op.f("ck_model_runs_status"), "model_runs", _STATUS.format(refused and f"'{refused}', ")
    )
    known = ["running", "published", "superseded", refused]
    said = f"{', '.join(filter(None, known))} or failed"
    op.alter_column("model_runs", "status", comment=said)
    op.alter_column("recommendations", "source", comment=_SOURCES.format(explore))
