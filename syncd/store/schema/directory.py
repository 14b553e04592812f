"""The directory, what must be looked at in the next push, and the desired state: all that comes from the source."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, false, text

from syncd.store.schema.types import Key, UtcTime, metadata

# ---- the directory: what the source says ----------------------------------------------------------------------------

source_objects = Table(
    "source_objects",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
)

PARKED = text("state = 'parked'")
"""Only fragments were seen of it. Every pull asks for these few, which an index finds only by these very words."""

REREAD = text("reread")
"""The same of groups of which the members must be read directly."""

SKIPPED = text("state = 'skipped'")
"""Groups that the rules skip, some of them until another gives up their BPS id."""

source_users = Table(
    "source_users",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),  # active, parked, unreadable, soft_deleted, deleted
    Column("upn", Text),
    Column("name", Text),
    Column("attributes", Text, nullable=False),  # JSON object of the selected properties
    Column("manager_key", Key),
    Column("removed_at", UtcTime),
    Column("removed_as", Text),  # told: the tenant said so; confirmed: by two witnesses
    Index("ix_source_users_manager_key", "manager_key"),
    Index("ix_source_users_parked", "key", sqlite_where=PARKED),
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
    Column("removed_as", Text),  # told: the tenant said so; confirmed: by two witnesses
    Index("ix_source_groups_name", "name"),
    Index("ix_source_groups_reread", "key", sqlite_where=REREAD),
    Index("ix_source_groups_parked", "key", sqlite_where=PARKED),
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

# Who is there again, or for the first time: what ties them to others is read once, since no stream need tell it.
source_returns = Table("source_returns", metadata, Column("key", Key, primary_key=True, autoincrement=False))

# Users whom a list showed without the manager that is stored; see ``unshown``.
unshown_managers = Table("unshown_managers", metadata, Column("key", Key, primary_key=True, autoincrement=False))

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("delta_link", Text),
    Column("next_link", Text),
    Column("baseline", Boolean, nullable=False),
    Column("tracked", Boolean, nullable=False),
    Column("listing", Boolean, nullable=False, default=False, server_default=false()),
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

# ---- what delta has told lately, which later readings may contradict ------------------------------------------------

delta_objects = Table(
    "delta_objects",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
    Column("told_at", UtcTime, nullable=False),
    Column("manager_at", UtcTime),  # when the manager was last part of it
    Column("before", Text, nullable=False),  # JSON list: digests of what the directory held before, oldest first
)

delta_links = Table(
    "delta_links",
    metadata,
    Column("role", Text, nullable=False),  # members, owners
    Column("group_key", Key, nullable=False),
    Column("member_key", Key, nullable=False),
    Column("removed", Boolean, nullable=False),
    Column("told_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("role", "group_key", "member_key"),
    Index("ix_delta_links_member_key", "member_key"),
    sqlite_with_rowid=False,
)

# What a list or a direct read says otherwise than delta did: it is read directly when it is due.
contradictions = Table(
    "contradictions",
    metadata,
    Column("key", Key, nullable=False),
    Column("what", Text, nullable=False),  # the object itself (users, groups), the people of a group, its ties
    Column("due_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("key", "what"),
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
    Column("cause", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False),
    Column("principal_key", Key),
    Column("name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("job_title", Text),
    Column("manager_key", Key),  # source key of the manager
    Column("made_of", BigInteger),  # digest of what this was decided by, see store.desired.digests; NULL: not known
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
    Column("cause", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False),
    Column("principal_key", Key),
    Column("name", Text),
    Column("email", Text),
    Column("made_of", BigInteger),
    Index("ix_desired_groups_principal_key", "principal_key"),
    Index("ix_desired_groups_skipped", "key", sqlite_where=SKIPPED),
)
