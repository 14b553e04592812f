"""Who stands above a person and who owns what, in the tenant; and records of the portal alone: for explanations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, exists, select

from syncd.model.kinds import RecordKind
from syncd.store.db.markers import OWNERS, load_marker
from syncd.store.schema.tables import (
    desired_users,
    source_groups,
    source_objects,
    source_owners,
    source_users,
    target_groups,
    target_principals,
    target_users,
)


def load_manager(connection: Connection, key: int) -> dict[str, Any] | None:
    """Return the manager of a person in the tenant, and the account by which the portal is to know the manager.

    It is the account that the planner names (`Pairing.iterate_user_pairs`): the one wanted, or one that a manager whom
    nobody wants any more still has. ``bps_id`` None: there is none, for ``reason``; beside a BPS id, ``reason`` tells
    what it waits for. None where the tenant names no manager.
    """
    person, principal, account = source_users.alias("person"), target_principals, target_users
    row = connection.execute(
        select(
            source_objects.c.key, source_objects.c.id, source_users.c.name, source_users.c.upn,
            source_users.c.state.label("source_state"), desired_users.c.state, desired_users.c.reason,
            principal.c.bps_id, account.c.status, account.c.source_key,
            exists().where(target_groups.c.key == desired_users.c.principal_key).label("taken"),
        )
        .select_from(person)
        .join(source_objects, source_objects.c.key == person.c.manager_key)
        .outerjoin(source_users, source_users.c.key == person.c.manager_key)
        .outerjoin(desired_users, desired_users.c.key == person.c.manager_key)
        .outerjoin(principal, principal.c.key == desired_users.c.principal_key)
        .outerjoin(account, account.c.key == desired_users.c.principal_key)
        .where(person.c.key == key)
    ).first()  # fmt: skip
    if row is None:
        return None
    theirs = row.status is not None and row.source_key in (None, row.key)
    if theirs or (row.state == "wanted" and not row.taken):
        bps_id, reason = row.bps_id, _say_what_it_waits_for(row.status)
    else:
        bps_id = _find_present(connection, row.key)
        reason = None if bps_id is not None else _say_why_not(row)
    return {"id": row.id, "name": row.upn or row.name, "bps_id": bps_id, "reason": reason}


def _find_present(connection: Connection, manager: int) -> str | None:
    """Return the account of ours that a manager has who cannot have the wanted one."""
    return connection.scalar(
        select(target_principals.c.bps_id)
        .join(target_users, target_users.c.key == target_principals.c.key)
        .where(target_users.c.source_key == manager, target_users.c.origin.is_not(None))
        .order_by(target_users.c.leaving_at.is_not(None), target_users.c.key.desc())
        .limit(1)
    )


def _say_what_it_waits_for(status: str | None) -> str | None:
    if status is None:
        return "the manager has no account in the portal yet"
    return None if status == "Synchronized" else "the portal still synchronises the manager's account"


def _say_why_not(row: Any) -> str:
    if row.taken:
        return f"the manager's BPS id {row.bps_id} belongs to a group of the portal"
    if row.source_state != "active":
        return "the manager is not among the active people of the tenant"
    if row.state is None:
        return "no push has looked at the manager yet"
    return f"the manager is not wanted in the portal: {row.reason or row.state.replace('_', ' ')}"


def load_owned(connection: Connection, kind: RecordKind, key: int) -> list[dict[str, Any]] | None:
    """Return the groups that a person owns in the tenant, or the owners of a group, by name.

    None where the tenant is not asked for owners (``mapping.group.owners``): nothing is known of them.
    """
    if load_marker(connection, OWNERS) is None:
        return None
    mine, other = source_owners.c.member_key, source_owners.c.group_key
    named, name = source_groups, source_groups.c.name
    if kind == "group":
        mine, other = other, mine
        named, name = source_users, source_users.c.upn
    rows = connection.execute(
        select(source_objects.c.id, name.label("name"), named.c.state)
        .select_from(source_owners)
        .join(named, named.c.key == other)
        .join(source_objects, source_objects.c.key == other)
        .where(mine == key)
        .order_by(name, source_objects.c.id)
    )
    return [{"id": row.id, "name": row.name, "state": row.state} for row in rows]


def load_untied(connection: Connection, folded: str) -> tuple[RecordKind, Row[Any]] | None:
    """Return the record of that BPS id with its kind, when it belongs to no object of the tenant that is known."""
    for kind, table in (("user", target_users), ("group", target_groups)):
        row = connection.execute(
            select(table, target_principals.c.bps_id)
            .join(target_principals, target_principals.c.key == table.c.key)
            .where(target_principals.c.bps_fold == folded)
        ).first()
        if row is not None:
            return ("user" if kind == "user" else "group"), row
    return None
