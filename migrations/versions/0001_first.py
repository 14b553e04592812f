"""The first schema: directory, desired state, inventory, runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "changes",
        sa.Column("run_id", Key, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("phase", sa.SmallInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("record_key", Key, nullable=False),
        sa.Column("target_key", Key, nullable=True),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("source_key", Key, nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_changes")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_changes_record_key", "changes", ["record_key"], unique=False)
    op.create_index("ix_changes_target_key", "changes", ["target_key"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("delta_link", sa.Text(), nullable=True),
        sa.Column("next_link", sa.Text(), nullable=True),
        sa.Column("baseline", sa.Boolean(), nullable=False),
        sa.Column("tracked", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("stream", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "desired_groups",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("principal_key", Key, nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_desired_groups")),
    )
    op.create_index("ix_desired_groups_principal_key", "desired_groups", ["principal_key"], unique=False)
    op.create_table(
        "desired_users",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("principal_key", Key, nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("job_title", sa.Text(), nullable=True),
        sa.Column("manager_key", Key, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_desired_users")),
    )
    op.create_index("ix_desired_users_manager_key", "desired_users", ["manager_key"], unique=False)
    op.create_index("ix_desired_users_principal_key", "desired_users", ["principal_key"], unique=False)
    op.create_table(
        "facts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_facts")),
    )
    op.create_table(
        "failures",
        sa.Column("record_key", Key, nullable=False),
        sa.Column("target_key", Key, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(), nullable=False),
        sa.Column("next_at", sa.DateTime(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("record_key", "target_key", name=op.f("pk_failures")),
    )
    op.create_index("ix_failures_next_at", "failures", ["next_at"], unique=False)
    op.create_table(
        "orders",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("run_id", Key, nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.Column("only", sa.Text(), nullable=False),
        sa.Column("result_run", Key, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_table(
        "rejections",
        sa.Column("record_key", Key, nullable=False),
        sa.Column("target_key", Key, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("run_id", Key, nullable=False),
        sa.PrimaryKeyConstraint("record_key", "target_key", "action", name=op.f("pk_rejections")),
    )
    op.create_table(
        "runs",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("phases", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_table(
        "scope_members",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("key", Key, nullable=False),
        sa.PrimaryKeyConstraint("role", "key", name=op.f("pk_scope_members")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "seen_members",
        sa.Column("group_key", Key, nullable=False),
        sa.Column("member_key", Key, nullable=False),
        sa.PrimaryKeyConstraint("group_key", "member_key", name=op.f("pk_seen_members")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "seen_objects",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_seen_objects")),
    )
    op.create_table(
        "seen_principals",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_seen_principals")),
    )
    op.create_table(
        "source_groups",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("reread", sa.Boolean(), nullable=False),
        sa.Column("removed_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_source_groups")),
    )
    op.create_index("ix_source_groups_name", "source_groups", ["name"], unique=False)
    op.create_table(
        "source_members",
        sa.Column("group_key", Key, nullable=False),
        sa.Column("member_key", Key, nullable=False),
        sa.PrimaryKeyConstraint("group_key", "member_key", name=op.f("pk_source_members")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_source_members_member_key", "source_members", ["member_key"], unique=False)
    op.create_table(
        "source_objects",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_source_objects")),
        sa.UniqueConstraint("id", name=op.f("uq_source_objects_id")),
    )
    op.create_table(
        "source_users",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("upn", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("manager_key", Key, nullable=True),
        sa.Column("removed_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_source_users")),
    )
    op.create_index("ix_source_users_manager_key", "source_users", ["manager_key"], unique=False)
    op.create_index("ix_source_users_upn", "source_users", ["upn"], unique=False)
    op.create_table(
        "target_groups",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("source_key", Key, nullable=True),
        sa.Column("written", sa.Text(), nullable=True),
        sa.Column("leaving_at", sa.DateTime(), nullable=True),
        sa.Column("synced_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_target_groups")),
    )
    op.create_index("ix_target_groups_leaving_at", "target_groups", ["leaving_at"], unique=False)
    op.create_index("ix_target_groups_source_key", "target_groups", ["source_key"], unique=False)
    op.create_table(
        "target_members",
        sa.Column("group_key", Key, nullable=False),
        sa.Column("member_key", Key, nullable=False),
        sa.PrimaryKeyConstraint("group_key", "member_key", name=op.f("pk_target_members")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_target_members_member_key", "target_members", ["member_key"], unique=False)
    op.create_table(
        "target_principals",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("bps_id", sa.Text(), nullable=False),
        sa.Column("bps_fold", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_target_principals")),
        sa.UniqueConstraint("bps_fold", name=op.f("uq_target_principals_bps_fold")),
    )
    op.create_table(
        "target_users",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("job_title", sa.Text(), nullable=True),
        sa.Column("manager", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("source_key", Key, nullable=True),
        sa.Column("written", sa.Text(), nullable=True),
        sa.Column("leaving_at", sa.DateTime(), nullable=True),
        sa.Column("synced_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_target_users")),
    )
    op.create_index("ix_target_users_leaving_at", "target_users", ["leaving_at"], unique=False)
    op.create_index("ix_target_users_source_key", "target_users", ["source_key"], unique=False)
    op.create_table(
        "touched_groups",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_touched_groups")),
    )
    op.create_table(
        "touched_principals",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_touched_principals")),
    )
    op.create_table(
        "touched_users",
        sa.Column("key", Key, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_touched_users")),
    )
