"""Owners of groups, on both sides; what failed or was rejected is told apart by the kind of object."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_SELECT = (
    "SELECT kept.*, COALESCE((SELECT c.object FROM changes c WHERE c.record_key = kept.record_key "
    "AND COALESCE(c.target_key, 0) = kept.target_key ORDER BY c.run_id DESC LIMIT 1), 'user') AS object FROM {} kept"
)


def upgrade() -> None:
    """Create the tables of owners, and give failures and rejections a column more in their keys."""
    for name, indexed in (("source_owners", True), ("target_owners", True), ("seen_owners", False)):
        op.create_table(
            name,
            sa.Column("group_key", Key, nullable=False),
            sa.Column("member_key", Key, nullable=False),
            sa.PrimaryKeyConstraint("group_key", "member_key", name=op.f(f"pk_{name}")),
            sqlite_with_rowid=False,
        )
        if indexed:
            op.create_index(f"ix_{name}_member_key", name, ["member_key"], unique=False)
    _rebuild(
        "failures",
        sa.Column("record_key", Key, nullable=False),
        sa.Column("target_key", Key, nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(), nullable=False),
        sa.Column("next_at", sa.DateTime(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("record_key", "target_key", "object", name=op.f("pk_failures")),
    )
    op.create_index("ix_failures_next_at", "failures", ["next_at"], unique=False)
    _rebuild(
        "rejections",
        sa.Column("record_key", Key, nullable=False),
        sa.Column("target_key", Key, nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("run_id", Key, nullable=False),
        sa.PrimaryKeyConstraint("record_key", "target_key", "object", "action", name=op.f("pk_rejections")),
    )


def _rebuild(name: str, *columns: sa.schema.SchemaItem) -> None:
    """Make a small table anew with the kind of object of each row, as the newest change of the same pair has it."""
    op.execute(f"CREATE TABLE kept_{name} AS {_SELECT.format(name)}")
    op.drop_table(name)
    op.create_table(name, *columns)
    names = ", ".join(column.name for column in columns if isinstance(column, sa.Column))
    op.execute(f"INSERT INTO {name} ({names}) SELECT {names} FROM kept_{name}")  # noqa: S608 - names of ours
    op.drop_table(f"kept_{name}")
