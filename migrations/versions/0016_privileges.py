"""Privileges of groups at places of the portal: our own record of what we gave, and who has anything there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add four tables."""
    op.create_table(
        "privilege_targets",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_privilege_targets")),
        sa.UniqueConstraint("token", name=op.f("uq_privilege_targets_token")),
    )
    op.create_table(
        "privileges",
        sa.Column("group_key", Key, nullable=False),
        sa.Column("target_key", Key, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("beside", sa.Boolean(), nullable=False),
        sa.Column("shown", sa.Boolean(), nullable=False),
        sa.Column("written_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("group_key", "target_key", name=op.f("pk_privileges")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "privilege_places",
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_privilege_places")),
    )
    op.create_table(
        "privilege_holders",
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("key", Key, nullable=False),
        sa.PrimaryKeyConstraint("place", "key", name=op.f("pk_privilege_holders")),
        sqlite_with_rowid=False,
    )
