"""Full reads by lists, and who has come back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a column and a table."""
    with op.batch_alter_table("checkpoints") as batch:
        batch.add_column(sa.Column("listing", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "source_returns",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_source_returns")),
    )
