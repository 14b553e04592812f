"""Who was where: since when and why each membership, ownership, licence and record is there, and what is over.

What is there now counts as having come before the history began (NULL): nobody noted since when.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
HELD = "origin IS NULL OR origin NOT IN ('moving', 'taken', 'let go')"
RUNNING = sa.text("status = 'running'")


def upgrade() -> None:
    """Add columns to what is there, three tables for what is over, and two indexes over runs."""
    for table in ("target_members", "target_owners"):
        op.add_column(table, sa.Column("came_at", sa.DateTime(), nullable=True))
        op.add_column(table, sa.Column("came_run", Key, nullable=True))
        op.add_column(table, sa.Column("came_cause", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("came_by", sa.Text(), nullable=True))
    for table in ("source_users", "source_groups"):
        op.add_column(table, sa.Column("removed_as", sa.Text(), nullable=True))
    op.create_table(
        "link_history",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("group_key", Key, nullable=False),
        sa.Column("member_key", Key, nullable=False),
        *_ends(over=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_link_history")),
    )
    op.create_index("ix_link_history_group_key", "link_history", ["group_key"])
    op.create_index("ix_link_history_member_key", "link_history", ["member_key"])
    op.create_index("ix_link_history_went_at", "link_history", ["went_at"])
    op.create_table(
        "licence_history",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("holder_key", Key, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        *_ends(over=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_licence_history")),
    )
    op.create_index("ix_licence_history_holder_key", "licence_history", ["holder_key"])
    op.create_index("ix_licence_history_went_at", "licence_history", ["went_at"])
    op.create_table(
        "record_history",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("record_key", Key, nullable=False),
        sa.Column("source_key", Key, nullable=True),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("leaving_as", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        *_ends(over=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_record_history")),
    )
    op.create_index("ix_record_history_record_key", "record_history", ["record_key"])
    op.create_index("ix_record_history_source_key", "record_history", ["source_key"])
    op.create_index("ix_record_history_went_at", "record_history", ["went_at"])
    op.create_index("ix_runs_running", "runs", ["id"], sqlite_where=RUNNING, postgresql_where=RUNNING)
    op.create_index("ix_runs_finished_at", "runs", ["finished_at"])
    op.execute(
        sa.text(
            f"INSERT INTO licence_history (holder_key, type) SELECT key, type FROM target_licences WHERE {HELD}"  # noqa: S608 - a text of ours
        )
    )
    for object_, table in (("user", "target_users"), ("group", "target_groups")):
        op.execute(
            sa.text(
                "INSERT INTO record_history (object, record_key, source_key, origin, leaving_as, name) "  # noqa: S608 - names of ours
                f"SELECT '{object_}', key, source_key, origin, leaving_as, name FROM {table} WHERE origin IS NOT NULL"
            )
        )
    facts = sa.table("facts", sa.column("name", sa.Text()), sa.column("value", sa.Text()))
    op.execute(facts.insert().values(name="history_since", value=datetime.now(UTC).isoformat(timespec="seconds")))


def _ends(*, over: bool) -> list[sa.Column[object]]:
    """Return the columns of both ends: when, in which run, why, and what started that run."""
    return [
        sa.Column("came_at", sa.DateTime(), nullable=True),
        sa.Column("came_run", Key, nullable=True),
        sa.Column("came_cause", sa.Text(), nullable=True),
        sa.Column("came_by", sa.Text(), nullable=True),
        sa.Column("went_at", sa.DateTime(), nullable=not over),
        sa.Column("went_run", Key, nullable=True),
        sa.Column("went_cause", sa.Text(), nullable=True),
        sa.Column("went_by", sa.Text(), nullable=True),
    ]
