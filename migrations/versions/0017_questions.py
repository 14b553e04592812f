"""Questions to a working daemon: under which rules they are asked, and why one is refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns."""
    op.add_column("asked_runs", sa.Column("rules", sa.Text(), nullable=False, server_default=""))
    op.add_column("asked_runs", sa.Column("refused", sa.Text(), nullable=True))
