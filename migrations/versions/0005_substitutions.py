"""Substitutions of ours, and why somebody is leaving."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what is new."""
    op.create_table(
        "substitutions",
        sa.Column("original_key", Key, autoincrement=False, nullable=False),
        sa.Column("substitute_key", Key, nullable=False),
        sa.Column("ends_at", sa.DateTime(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("original_key", name=op.f("pk_substitutions")),
    )
    op.create_index(op.f("ix_substitutions_substitute_key"), "substitutions", ["substitute_key"])
    for table in ("target_users", "target_groups"):
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("leaving_as", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take it away again."""
    for table in ("target_users", "target_groups"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("leaving_as")
    op.drop_table("substitutions")
