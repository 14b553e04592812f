"""What decisions were made of, so that a full planning decides only about what is another one by now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column to both tables of decisions; where it is NULL, it is decided anew."""
    for table in ("desired_users", "desired_groups"):
        op.add_column(table, sa.Column("made_of", sa.BigInteger()))
