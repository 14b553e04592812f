"""The tables, as one picture. Migrations must lead to exactly this (a test compares them).

Source ids and BPS ids are interned once (``source_objects``, ``target_principals``); everything else refers to them by
integer keys, because random inserts of 36-character text into secondary indexes are what makes such stores slow.
Memberships carry no foreign key: a member may be of any type, and may be known before or long after its group.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

Key = BigInteger().with_variant(Integer(), "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC instant, whatever the database thinks of time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - signature
        """Store as naive UTC; a naive value is a programming error."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime must not reach the store")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give back as aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# ---- the directory: what the source says ----------------------------------------------------------------------------

source_objects = Table(
    "source_objects",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
)

source_users = Table(
    "source_users",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),  # active, parked, soft_deleted, deleted
    Column("upn", Text),
    Column("name", Text),
    Column("attributes", Text, nullable=False),  # JSON object of the selected properties
    Column("manager_key", Key),
    Column("removed_at", UtcTime),
    Index("ix_source_users_manager_key", "manager_key"),
)

source_groups = Table(
    "source_groups",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("name", Text),
    Column("attributes", Text, nullable=False),
    Column("reread", Boolean, nullable=False, default=False),  # its members must be read directly before they count
    Column("removed_at", UtcTime),
    Index("ix_source_groups_name", "name"),
)

source_members = Table(
    "source_members",
    metadata,
    Column("group_key", Key, nullable=False),
    Column("member_key", Key, nullable=False),
    PrimaryKeyConstraint("group_key", "member_key"),
    Index("ix_source_members_member_key", "member_key"),
    sqlite_with_rowid=False,
)

source_owners = Table(
    "source_owners",
    metadata,
    Column("group_key", Key, nullable=False),
    Column("member_key", Key, nullable=False),
    PrimaryKeyConstraint("group_key", "member_key"),
    Index("ix_source_owners_member_key", "member_key"),
    sqlite_with_rowid=False,
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("delta_link", Text),
    Column("next_link", Text),
    Column("baseline", Boolean, nullable=False),
    Column("tracked", Boolean, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
)

seen_objects = Table(
    "seen_objects",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
)

seen_members = Table(
    "seen_members",
    metadata,
    Column("group_key", Key, nullable=False),
    Column("member_key", Key, nullable=False),
    PrimaryKeyConstraint("group_key", "member_key"),
    sqlite_with_rowid=False,
)

seen_owners = Table(
    "seen_owners",
    metadata,
    Column("group_key", Key, nullable=False),
    Column("member_key", Key, nullable=False),
    PrimaryKeyConstraint("group_key", "member_key"),
    sqlite_with_rowid=False,
)

# ---- what must be looked at in the next push ------------------------------------------------------------------------

touched_users = Table("touched_users", metadata, Column("key", Key, primary_key=True, autoincrement=False))
touched_groups = Table(
    "touched_groups",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
    Column("whole", Boolean, nullable=False, default=False),  # compare all its members, not only touched people
)
touched_principals = Table("touched_principals", metadata, Column("key", Key, primary_key=True, autoincrement=False))

# While a run looks at one object, the touches of everything else wait here; any later run takes them back first.
waiting_touches = Table(
    "waiting_touches",
    metadata,
    Column("kind", Text, nullable=False),  # users, groups, whole groups, principals
    Column("key", Key, nullable=False),
    PrimaryKeyConstraint("kind", "key"),
    sqlite_with_rowid=False,
)

# What comparing a group's members with the tenant's own count has shown.
member_checks = Table(
    "member_checks",
    metadata,
    Column("group_key", Key, primary_key=True, autoincrement=False),
    Column("suspected_at", UtcTime),  # the count disagreed then, and was not asked again
    Column("unexplained", Integer, nullable=False),  # by how much it exceeds what can be listed, found by a whole read
)

# ---- desired state: what the rules make of the directory ------------------------------------------------------------

desired_users = Table(
    "desired_users",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),  # source key
    Column("state", Text, nullable=False),  # see plan.desired.State
    Column("reason", Text, nullable=False),
    Column("principal_key", Key),
    Column("name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("job_title", Text),
    Column("manager_key", Key),  # source key of the manager
    Index("ix_desired_users_principal_key", "principal_key"),
    Index("ix_desired_users_manager_key", "manager_key"),
)

scope_members = Table(
    "scope_members",
    metadata,
    Column("role", Text, nullable=False),  # include, exclude, licence 000, licence 001, …
    Column("key", Key, nullable=False),  # source user below one of the groups of that role
    PrimaryKeyConstraint("role", "key"),
    sqlite_with_rowid=False,
)

desired_groups = Table(
    "desired_groups",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("principal_key", Key),
    Column("name", Text),
    Column("email", Text),
    Index("ix_desired_groups_principal_key", "principal_key"),
)

# ---- the inventory: what the target has, and which of it is ours ----------------------------------------------------

target_principals = Table(
    "target_principals",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("bps_id", Text, nullable=False),  # the portal's case where the portal has it
    Column("bps_fold", Text, nullable=False, unique=True),
)

target_users = Table(
    "target_users",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),  # principal key
    Column("name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("job_title", Text),
    Column("manager", Text),  # BPS id
    Column("status", Text, nullable=False),
    Column("origin", Text),  # created, adopted; NULL: not ours
    Column("source_key", Key),
    Column("written", Text),  # JSON: the fields as we last wrote them
    Column("accepted", Text),  # JSON: values put in by hand that are left as they are
    Column("leaving_at", UtcTime),
    Column("synced_at", UtcTime),
    Column("leaving_as", Text),  # why: renamed, or the state of the person
    Index("ix_target_users_source_key", "source_key"),
    Index("ix_target_users_leaving_at", "leaving_at"),
)

target_groups = Table(
    "target_groups",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("email", Text),
    Column("status", Text, nullable=False),
    Column("origin", Text),
    Column("source_key", Key),
    Column("written", Text),
    Column("accepted", Text),
    Column("leaving_at", UtcTime),
    Column("synced_at", UtcTime),
    Column("leaving_as", Text),
    Index("ix_target_groups_source_key", "source_key"),
    Index("ix_target_groups_leaving_at", "leaving_at"),
)

target_members = Table(
    "target_members",
    metadata,
    Column("group_key", Key, nullable=False),
    Column("member_key", Key, nullable=False),
    PrimaryKeyConstraint("group_key", "member_key"),
    Index("ix_target_members_member_key", "member_key"),
    sqlite_with_rowid=False,
)

substitutions = Table(
    "substitutions",
    metadata,
    Column("original_key", Key, primary_key=True, autoincrement=False),  # principal whose tasks go to another
    Column("substitute_key", Key, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
    Column("number", Integer),  # the portal's; NULL: it did not tell
    Column("confirmed", Boolean, nullable=False),  # False: sent, and not known how it ended
    Index("ix_substitutions_substitute_key", "substitute_key"),
)

target_owners = Table(
    "target_owners",
    metadata,
    Column("group_key", Key, nullable=False),
    Column("member_key", Key, nullable=False),
    PrimaryKeyConstraint("group_key", "member_key"),
    Index("ix_target_owners_member_key", "member_key"),
    sqlite_with_rowid=False,
)

target_licences = Table(
    "target_licences",
    metadata,
    Column("key", Key, nullable=False),  # principal of the person, who need not have an account any more
    Column("type", Text, nullable=False),
    Column("settings", Text),  # JSON: as the portal shows them; NULL: it does not
    Column("written", Text),  # JSON: as we last sent them
    Column("origin", Text),  # granted; NULL: given by hand; no licence: moving, taken, let go (store.taken_licences)
    PrimaryKeyConstraint("key", "type"),
    sqlite_with_rowid=False,
)


def _make_hand_links(name: str) -> Table:
    """Memberships or ownerships of our groups that somebody else changed since we wrote."""
    return Table(
        name,
        metadata,
        Column("group_key", Key, nullable=False),
        Column("member_key", Key, nullable=False),
        Column("added", Boolean, nullable=False),  # put in; otherwise taken out
        Column("accepted", Boolean, nullable=False),
        Column("seen_at", UtcTime, nullable=False),
        PrimaryKeyConstraint("group_key", "member_key"),
        Index(f"ix_{name}_member_key", "member_key"),
        sqlite_with_rowid=False,
    )


hand_members = _make_hand_links("hand_members")
hand_owners = _make_hand_links("hand_owners")

vanished_records = Table(  # records of ours that somebody else removed
    "vanished_records",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
    Column("object", Text, nullable=False),
    Column("source_key", Key),
    Column("fields", Text, nullable=False),  # JSON: as we last wrote them
    Column("accepted", Boolean, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
)

seen_principals = Table("seen_principals", metadata, Column("key", Key, primary_key=True, autoincrement=False))

# ---- runs and their outcomes ----------------------------------------------------------------------------------------

runs = Table(
    "runs",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("counts", Text, nullable=False),
    Column("phases", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("proof", Text),  # JSON: what the completeness of a full read rests on
)

changes = Table(
    "changes",
    metadata,
    Column("run_id", Key, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("phase", SmallInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("record_key", Key, nullable=False),  # principal written to
    Column("target_key", Key),  # principal of the member; negative: stands for a type of licence
    Column("target", Text, nullable=False),  # what is no principal: the type of a licence
    Column("source_key", Key),
    Column("before", Text),
    Column("after", Text),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("finished_at", UtcTime),
    PrimaryKeyConstraint("run_id", "seq"),
    Index("ix_changes_record_key", "record_key"),
    Index("ix_changes_target_key", "target_key"),
    sqlite_with_rowid=False,
)

failures = Table(
    "failures",
    metadata,
    Column("record_key", Key, nullable=False),
    Column("target_key", Key, nullable=False),  # 0: the record itself
    Column("object", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", UtcTime, nullable=False),
    Column("next_at", UtcTime, nullable=False),
    Column("error", Text, nullable=False),
    PrimaryKeyConstraint("record_key", "target_key", "object"),
    Index("ix_failures_next_at", "next_at"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("run_id", Key, nullable=False),  # the run whose held changes are released
    Column("actions", Text, nullable=False),  # JSON lists; empty: all
    Column("only", Text, nullable=False),
    Column("result_run", Key),  # the run that carried it out
)

rejections = Table(
    "rejections",
    metadata,
    Column("record_key", Key, nullable=False),
    Column("target_key", Key, nullable=False),  # 0: the record itself
    Column("object", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("run_id", Key, nullable=False),
    PrimaryKeyConstraint("record_key", "target_key", "object", "action"),
)

facts = Table(
    "facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
