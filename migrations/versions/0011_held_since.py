"""Since which run something is held, and an index over what was taken away, for the sums of a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_REMOVED = sa.text("action IN ('delete', 'unlink', 'revoke') AND status IN ('done', 'started')")


def upgrade() -> None:
    """Add one column, and one index over a few rows."""
    op.add_column("changes", sa.Column("held_since", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
    op.create_index(op.f("ix_changes_removed"), "changes", ["run_id"], sqlite_where=_REMOVED, postgresql_where=_REMOVED)
