"""Where an object lies in the tenant's groups, and what was changed by hand at its records: for explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from syncd.model.kinds import RecordKind
from syncd.model.target import ACCOUNT_FIELDS, GROUP_FIELDS
from syncd.plan.diff import differs
from syncd.plan.drift import LINK_FIELDS
from syncd.plan.report.scope_verdicts import Place
from syncd.store.db.sql import decode_json
from syncd.store.inventory.drift_notes import HAND_LINKS
from syncd.store.licences.taken import GONE, LET_GO
from syncd.store.schema.tables import source_groups, source_members, source_objects, target_licences, target_principals


def load_places(connection: Connection, key: int) -> list[Place]:
    """Return the active groups that an object lies in, directly and through nesting, each with the shortest path."""
    start = (
        select(source_members.c.group_key.label("grp"), source_members.c.member_key.label("below"))
        .join(source_groups, source_groups.c.key == source_members.c.group_key)
        .where(source_members.c.member_key == key, source_groups.c.state == "active")
        .cte("above", recursive=True)
    )
    higher = source_groups.alias("higher")
    above = start.union(
        select(source_members.c.group_key, source_members.c.member_key)
        .join(start, start.c.grp == source_members.c.member_key)
        .join(higher, higher.c.key == source_members.c.group_key)
        .where(higher.c.state == "active")
    )
    statement = (
        select(above.c.grp, above.c.below, source_objects.c.id, source_groups.c.name)
        .select_from(above)
        .join(source_objects, source_objects.c.key == above.c.grp)
        .join(source_groups, source_groups.c.key == above.c.grp)
        .order_by(source_groups.c.name, source_objects.c.id, above.c.below)
    )
    rows = connection.execute(statement).all()
    parents: dict[int, list[Any]] = {}
    for row in rows:
        parents.setdefault(row.below, []).append(row)
    found: dict[int, Place] = {}
    level: list[tuple[int, tuple[str, ...]]] = [(key, ())]
    while level:
        higher_up: list[tuple[int, tuple[str, ...]]] = []
        for below, path in level:
            for row in parents.get(below, ()):
                if row.grp not in found and row.grp != key:
                    found[row.grp] = Place(row.id, row.name or "", (row.name or row.id, *path))
                    higher_up.append((row.grp, found[row.grp].path))
        level = higher_up
    return sorted(found.values(), key=lambda place: (place.name, place.id))


def load_by_hand(connection: Connection, kind: RecordKind, row: Row[Any]) -> list[Mapping[str, Any]]:
    """Return what somebody changed by hand at one record of ours, and whether that was taken as it is."""
    if row.origin is None:
        return []
    written, accepted = decode_json(row.written), decode_json(row.accepted)
    found: list[Mapping[str, Any]] = []
    for name in ACCOUNT_FIELDS if kind == "user" else GROUP_FIELDS:
        there = getattr(row, name)
        if name in written and differs(name, written[name], there):
            taken = name in accepted and not differs(name, accepted[name], there)
            found.append({"field": name, "ours": written[name], "theirs": there, "accepted": taken})
    for links, table in sorted(HAND_LINKS.items()):
        group, member = target_principals.alias("group_record"), target_principals.alias("member")
        statement = (
            select(table.c.added, table.c.accepted, group.c.bps_id.label("group_id"), member.c.bps_id)
            .join(group, group.c.key == table.c.group_key)
            .join(member, member.c.key == table.c.member_key)
            .where(or_(table.c.group_key == row.key, table.c.member_key == row.key))
            .order_by(group.c.bps_fold, member.c.bps_fold)
        )
        for link in connection.execute(statement):
            other = link.group_id if kind == "user" else link.bps_id
            ours, theirs = (None, other) if link.added else (other, None)
            field = LINK_FIELDS[links] if kind == "group" else f"{LINK_FIELDS[links]} of"
            found.append({"field": field, "ours": ours, "theirs": theirs, "accepted": bool(link.accepted)})
    taken_licences = select(target_licences.c.type, target_licences.c.origin).where(
        target_licences.c.key == row.key, target_licences.c.origin.in_(GONE)
    )
    for licence in connection.execute(taken_licences.order_by(target_licences.c.type)):
        accepted_too = licence.origin == LET_GO
        found.append({"field": "licence", "ours": licence.type, "theirs": None, "accepted": accepted_too})
    return found
