"""Runs that somebody asks a daemon for, the daemons that are up, pauses, and records that were bound by hand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add four tables."""
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
    op.create_table(
        "pauses",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("source_key", Key, nullable=True),
        sa.Column("record_key", Key, nullable=True),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pauses")),
    )
    op.create_index(op.f("ix_pauses_until"), "pauses", ["until"])
    op.create_table(
        "bindings",
        sa.Column("source_key", Key, autoincrement=False, nullable=False),
        sa.Column("record_key", Key, nullable=False),
        sa.Column("bound_by", sa.Text(), nullable=False),
        sa.Column("bound_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("source_key", name=op.f("pk_bindings")),
        sa.UniqueConstraint("record_key", name=op.f("uq_bindings_record_key")),
    )
