"""Who stands above a person and who owns what, in the tenant; and records of the portal alone: for explanations."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from syncd.store.tables import (
    desired_users,
    source_groups,
    source_objects,
    source_owners,
    source_users,
    target_groups,
    target_principals,
    target_users,
)

Kind = Literal["user", "group"]


def load_manager(connection: Connection, key: int) -> dict[str, Any] | None:
    """Return the manager of a person in the tenant, and the account by which the portal is to know the manager.

    ``bps_id`` None: there is none, for ``reason``. None where the tenant names no manager.
    """
    person = source_users.alias("person")
    row = connection.execute(
        select(
            source_objects.c.id, source_users.c.name, source_users.c.upn, source_users.c.state.label("source_state"),
            desired_users.c.state, desired_users.c.reason, target_principals.c.bps_id,
        )
        .select_from(person)
        .join(source_objects, source_objects.c.key == person.c.manager_key)
        .outerjoin(source_users, source_users.c.key == person.c.manager_key)
        .outerjoin(desired_users, desired_users.c.key == person.c.manager_key)
        .outerjoin(target_principals, target_principals.c.key == desired_users.c.principal_key)
        .where(person.c.key == key)
    ).first()  # fmt: skip
    if row is None:
        return None
    wanted = row.state == "wanted"
    return {
        "id": row.id,
        "name": row.upn or row.name,
        "bps_id": row.bps_id if wanted else None,
        "reason": None if wanted else _say_why_not(row),
    }


def _say_why_not(row: Any) -> str:
    if row.source_state != "active":
        return "the manager is not among the active people of the tenant"
    if row.state is None:
        return "no push has looked at the manager yet"
    return f"the manager is not wanted in the portal: {row.reason or row.state.replace('_', ' ')}"


def load_owned(connection: Connection, kind: Kind, key: int) -> list[dict[str, Any]]:
    """Return the groups that a person owns in the tenant, or the owners of a group, by name."""
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


def load_untied(connection: Connection, folded: str) -> tuple[Kind, Row[Any]] | None:
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
