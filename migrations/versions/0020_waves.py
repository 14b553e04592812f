"""Waves: which wave of its plan a change belongs to, and the people of a plan in their order.

A store with history also notes when its portal was last found as it should be: what was changed there by hand before,
and noted long ago, must not look like writes that a restored portal lost.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a column, a table and a fact."""
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
    if op.get_bind().scalar(sa.text("SELECT max(id) FROM runs")) is not None:
        facts = sa.table("facts", sa.column("name", sa.Text()), sa.column("value", sa.Text()))
        op.execute(facts.insert().values(name="portal_seen", value=datetime.now(UTC).isoformat()))
