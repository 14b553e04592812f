"""Indexes of the few that every run looks for: what the portal still copies, skipped groups, notes about licences."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the indexes."""
    waiting, skipped = sa.text("status <> 'Synchronized'"), sa.text("state = 'skipped'")
    for table in ("target_users", "target_groups"):
        op.create_index(f"ix_{table}_waiting", table, ["key"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_index(
        "ix_desired_groups_skipped", "desired_groups", ["key"], sqlite_where=skipped, postgresql_where=skipped
    )
    op.create_index("ix_target_licences_origin", "target_licences", ["origin", "type"])
