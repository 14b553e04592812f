"""Groups that keep the BPS id of the group that they follow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the mark."""
    with op.batch_alter_table("target_groups") as batch:
        batch.add_column(sa.Column("bound", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("target_groups") as batch:
        batch.drop_column("bound")
