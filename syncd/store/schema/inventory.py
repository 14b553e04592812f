"""The inventory: what the target has, which of it is ours, and what somebody changed there by hand."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text, false, text

from syncd.store.schema.types import Key, UtcTime, metadata

WAITING = text("status <> 'Synchronized'")
"""Records that the portal is still copying, or in another state of its own: an index finds these few by these words."""

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
    Index("ix_target_users_waiting", "key", sqlite_where=WAITING),
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
    Column("bound", Boolean, nullable=False, default=False, server_default=false()),  # keeps its BPS id, see handovers
    Index("ix_target_groups_source_key", "source_key"),
    Index("ix_target_groups_leaving_at", "leaving_at"),
    Index("ix_target_groups_waiting", "key", sqlite_where=WAITING),
)

target_members = Table(
    "target_members",
    metadata,
    Column("group_key", Key, nullable=False),
    Column("member_key", Key, nullable=False),
    Column("came_at", UtcTime),  # NULL: before the history began
    Column("came_run", Key),
    Column("came_cause", Text),
    Column("came_by", Text),
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
    Column("came_at", UtcTime),  # NULL: before the history began
    Column("came_run", Key),
    Column("came_cause", Text),
    Column("came_by", Text),
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
    Index("ix_target_licences_origin", "origin", "type"),
    sqlite_with_rowid=False,
)

privilege_targets = Table(  # what may be done where, as numbers
    "privilege_targets",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("token", Text, nullable=False, unique=True),
    Column("place", Text, nullable=False),
    Column("fields", Text, nullable=False),  # JSON: model.privilege
)

privileges = Table(  # our own record: the portal tells neither level nor company
    "privileges",
    metadata,
    Column("group_key", Key, nullable=False),
    Column("target_key", Key, nullable=False),
    Column("state", Text, nullable=False),  # plan.privileges.GrantState
    Column("beside", Boolean, nullable=False),  # something by hand was there before
    Column("shown", Boolean, nullable=False),  # a reading has named the group there since
    Column("written_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("group_key", "target_key"),
    sqlite_with_rowid=False,
)

privilege_places = Table(
    "privilege_places",
    metadata,
    Column("place", Text, primary_key=True),
    Column("state", Text, nullable=False),  # read, refused, missing, gone
    Column("said", Text, nullable=False),
)

privilege_holders = Table(  # who has anything at a place, by the last reading and our own writes
    "privilege_holders",
    metadata,
    Column("place", Text, nullable=False),
    Column("key", Key, nullable=False),
    PrimaryKeyConstraint("place", "key"),
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

spellings = Table(  # what the portal makes of a value that we sent
    "spellings",
    metadata,
    Column("key", Key, nullable=False),
    Column("field", Text, nullable=False),
    Column("sent", Text, nullable=False),
    Column("shown", Text, nullable=False),
    Column("times", SmallInteger, nullable=False),  # so often it was shown after it was written anew
    PrimaryKeyConstraint("key", "field"),
)

seen_principals = Table("seen_principals", metadata, Column("key", Key, primary_key=True, autoincrement=False))
