"""What each run did on the last day, in a table of its own: the index over removals is not needed any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table, and drop an index."""
    op.drop_index(op.f("ix_changes_removed"), table_name="changes")
    op.create_table(
        "day_counts",
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "action", "object", name=op.f("pk_day_counts")),
        sqlite_with_rowid=False,
    )
