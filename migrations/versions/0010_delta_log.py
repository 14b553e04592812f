"""What delta has told lately, and what later readings say otherwise."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add three tables."""
    op.create_table(
        "delta_objects",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("told_at", sa.DateTime(), nullable=False),
        sa.Column("manager_at", sa.DateTime(), nullable=True),
        sa.Column("before", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_delta_objects")),
    )
    op.create_table(
        "delta_links",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("group_key", Key, nullable=False),
        sa.Column("member_key", Key, nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("role", "group_key", "member_key", name=op.f("pk_delta_links")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_delta_links_member_key"), "delta_links", ["member_key"])
    op.create_table(
        "contradictions",
        sa.Column("key", Key, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", "what", name=op.f("pk_contradictions")),
        sqlite_with_rowid=False,
    )
