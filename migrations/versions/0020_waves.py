"""Waves: which wave of its plan a change belongs to, and the people of a plan in their order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a column and a table."""
    op.add_column("changes", sa.Column("wave", sa.SmallInteger(), nullable=True))
    op.create_table(
        "wave_people",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("person", Key, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("wave", sa.SmallInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_wave_people")),
    )
    op.create_index("ix_wave_people_person", "wave_people", ["person"])
