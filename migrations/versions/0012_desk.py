"""Runs that somebody asks a daemon for, and the daemons that are up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add two tables."""
    op.create_table(
        "asked_runs",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("result_run", Key, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asked_runs")),
    )
    op.create_index(op.f("ix_asked_runs_result_run"), "asked_runs", ["result_run"])
    op.create_table(
        "daemons",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.Column("next_full", sa.DateTime(), nullable=True),
        sa.Column("next_delta", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_daemons")),
    )
