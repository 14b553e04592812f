"""Full reads by lists, who has come back, and whose manager was not shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a column, two tables, and indexes of what must be read directly."""
    with op.batch_alter_table("checkpoints") as batch:
        batch.add_column(sa.Column("listing", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "source_returns",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_source_returns")),
    )
    op.create_table(
        "unshown_managers",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_unshown_managers")),
    )
    parked = sa.text("state = 'parked'")
    for table in ("source_users", "source_groups"):
        op.create_index(f"ix_{table}_parked", table, ["key"], sqlite_where=parked, postgresql_where=parked)
    reread = sa.text("reread")
    op.create_index("ix_source_groups_reread", "source_groups", ["key"], sqlite_where=reread, postgresql_where=reread)
