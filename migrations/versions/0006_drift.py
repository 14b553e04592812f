"""What was changed by hand in the target: accepted fields, memberships, ownerships, removed records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add three tables, and a column to two others."""
    for table in ("target_users", "target_groups"):
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("accepted", sa.Text(), nullable=True))
    for name in ("hand_members", "hand_owners"):
        op.create_table(
            name,
            sa.Column("group_key", Key, nullable=False),
            sa.Column("member_key", Key, nullable=False),
            sa.Column("added", sa.Boolean(), nullable=False),
            sa.Column("accepted", sa.Boolean(), nullable=False),
            sa.Column("seen_at", sa.DateTime(), nullable=False),
            sa.PrimaryKeyConstraint("group_key", "member_key", name=op.f(f"pk_{name}")),
            sqlite_with_rowid=False,
        )
        op.create_index(op.f(f"ix_{name}_member_key"), name, ["member_key"])
    op.create_table(
        "vanished_records",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("source_key", Key, nullable=True),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_vanished_records")),
    )
