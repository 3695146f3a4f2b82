"""What the REST API needs: keys, a log of writes, search of items, lists by genre.

pg_trgm makes the search find what is nearly meant, and gives it an index. Where the server does
not have it, or does not let the owner of the database have it, the search reads every title.
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SQL = Path(__file__).parents[1] / "sql"
_TRIGRAMS = {"ix_items_title_trigrams": ("items", "title"),
             "ix_artists_name_trigrams": ("artists", "name")}  # fmt: skip
_MAKE_EXTENSION = """
DO $$ BEGIN
  CREATE EXTENSION IF NOT EXISTS pg_trgm;
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN NULL;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "api_keys",
        sa.Column(
            "key_id", sa.Text(), nullable=False, comment="Which key: its middle part, no secret"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Whose it is, or what for"),
        sa.Column("role", sa.Text(), nullable=False, comment="read, write (and read) or admin"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of its secret"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was made",
        ),
        sa.Column(
            "revoked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was revoked; NULL: it counts",
        ),
        sa.CheckConstraint("role IN ('read', 'write', 'admin')", name=op.f("ck_api_keys_role")),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        comment="Keys of the REST API, of which only digests are kept. One row a key.",
    )
    _make_log()
    op.create_index("ix_items_latest", "items", [sa.text("released_at DESC NULLS LAST"), "item_id"])
    _make_search()
    op.execute((SQL / "0009_recommendations_for.sql").read_text(encoding="utf-8"))


def _make_log() -> None:
    op.create_table(
        "api_writes",
        sa.Column(
            "write_id", sa.BigInteger(), sa.Identity(), nullable=False, comment="Number of the call"
        ),
        sa.Column(
            "called_at", sa.DateTime(timezone=True), nullable=False, comment="When it was answered"
        ),
        sa.Column("key_id", sa.Text(), nullable=False, comment="Key that it was made with"),
        sa.Column("method", sa.Text(), nullable=False, comment="Method of HTTP"),
        sa.Column("path", sa.Text(), nullable=False, comment="What it was made to"),
        sa.Column("status", sa.SmallInteger(), nullable=False, comment="Status of the answer"),
        sa.Column(
            "records",
            sa.Integer(),
            nullable=False,
            comment="Records that Kafka acknowledged",
        ),
        sa.PrimaryKeyConstraint("write_id", name=op.f("pk_api_writes")),
        comment="Calls of the REST API that write, whatever became of them. One row a call.",
    )
    op.create_index(op.f("ix_api_writes_called_at"), "api_writes", ["called_at"])


def _make_search() -> None:
    op.execute((SQL / "0009_item_search.sql").read_text(encoding="utf-8"))
    op.execute(_MAKE_EXTENSION)
    has_trigrams = op.get_bind().scalar(
        sa.text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')")
    )
    for index, (table, column) in _TRIGRAMS.items() if has_trigrams else ():
        op.create_index(
            index, table, [column],
            postgresql_using="gin", postgresql_ops={column: "gin_trgm_ops"},
        )  # fmt: skip
    form = "trigrams" if has_trigrams else "plain"
    op.execute((SQL / f"0009_item_search_{form}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    op.execute("DROP FUNCTION recommendations_for(text, integer, text, text[], boolean)")
    op.execute("DROP FUNCTION fallback_for(text, integer, text[], text, boolean)")
    for name, function in (
        ("0008_age_popularity.sql", "fallback_for"),
        ("0006_live.sql", "recommendations_for"),
    ):
        text = (SQL / name).read_text(encoding="utf-8")
        op.execute(text[text.index(f"CREATE OR REPLACE FUNCTION {function}") :])
    op.execute("DROP FUNCTION item_matches(text)")
    op.execute("DROP FUNCTION like_pattern(text)")
    for index, (table, _) in _TRIGRAMS.items():
        op.drop_index(index, table, if_exists=True)
    # The extension stays: others may use it.
    op.drop_index("ix_items_latest", "items")
    op.drop_table("api_writes")
    op.drop_table("api_keys")
