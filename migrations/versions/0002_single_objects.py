"""One object by itself: touches that wait meanwhile, counts of members, and the proof of a full read with its run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add two tables and a column."""
    op.create_table(
        "waiting_touches",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", Key, nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_waiting_touches")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "member_checks",
        sa.Column("group_key", Key, autoincrement=False, nullable=False),
        sa.Column("suspected_at", sa.DateTime(), nullable=True),
        sa.Column("unexplained", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("group_key", name=op.f("pk_member_checks")),
    )
    with op.batch_alter_table("runs") as batch:
        batch.add_column(sa.Column("proof", sa.Text(), nullable=True))
