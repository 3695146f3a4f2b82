"""Fine-grained rows may fold into coarser ones, and busy tables are vacuumed before they bloat."""

from collections.abc import Sequence

from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_FOLDED_BEFORE = """
CREATE FUNCTION folded_before(p_grain text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(to_timestamp(feature_setting('folded_' || p_grain || '_before')), '-infinity');
COMMENT ON FUNCTION folded_before(text) IS
  'Moment before which rows of a grain (5m, hour) are folded into the next coarser one.';
"""
# By default a table is vacuumed when a fifth of it is dead: far too late for one whose rows are
# updated with every batch.
_UPDATED = (
    "item_counts_5m",
    "item_counts_hour",
    "item_counts_day",
    "item_trends",
    "user_counts_day",
    "user_item_affinity",
    "session_counts",
    "platform_activity_minute",
    "seen_events",
)


def upgrade() -> None:
    """Apply."""
    op.execute(_FOLDED_BEFORE)
    for table in _UPDATED:
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02, "
            "autovacuum_analyze_scale_factor = 0.05)"
        )
    # Each batch replaces segments; what they leave lies out of line.
    op.execute("ALTER TABLE seen_events SET (toast.autovacuum_vacuum_scale_factor = 0.05)")


def downgrade() -> None:
    """Take back."""
    for table in _UPDATED:
        op.execute(
            f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor, "
            "autovacuum_analyze_scale_factor)"
        )
    op.execute("ALTER TABLE seen_events RESET (toast.autovacuum_vacuum_scale_factor)")
    op.execute("DROP FUNCTION folded_before(text)")
