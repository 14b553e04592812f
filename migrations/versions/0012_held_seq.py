"""At a change that a person approved: its place in the plan of the run that held it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add one column."""
    op.add_column("changes", sa.Column("held_seq", sa.Integer()))
