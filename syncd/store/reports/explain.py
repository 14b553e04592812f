"""Everything that the store knows about one person or group; nothing is asked of either side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, false, func, or_, select

from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.target import fold
from syncd.plan.licences import LICENCE_ROLE
from syncd.plan.privileges import HeldPrivilege
from syncd.plan.report.scope_verdicts import Place
from syncd.store.db.database import Database, reading
from syncd.store.db.markers import LICENCES_READ, load_marker
from syncd.store.db.parameters import among_values
from syncd.store.db.sql import decode_json
from syncd.store.licences.holdings import load_holding
from syncd.store.privileges.records import RuleState, load_held_of, load_rule_state
from syncd.store.reports.explain_changes import Pending, load_outcomes, load_pending, load_rejected
from syncd.store.reports.explain_groups import load_places
from syncd.store.reports.explain_people import load_manager, load_owned, load_untied
from syncd.store.reports.explain_records import Part, describe_record, load_target
from syncd.store.schema.tables import (
    bindings,
    desired_groups,
    desired_users,
    scope_members,
    source_groups,
    source_members,
    source_objects,
    source_users,
    target_groups,
    target_members,
    target_principals,
    target_users,
)

_SOURCE: Mapping[RecordKind, Table] = {"user": source_users, "group": source_groups}
_DESIRED: Mapping[RecordKind, Table] = {"user": desired_users, "group": desired_groups}
_TARGET: Mapping[RecordKind, Table] = {"user": target_users, "group": target_groups}
_FOUND_AT_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Which object was meant."""

    kind: RecordKind
    key: int
    id: str
    name: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is known: plain values, in the order in which an object passes through syncd."""

    found: Found
    source: Mapping[str, Any]
    desired: Mapping[str, Any] | None
    target: Mapping[str, Any] | None
    pending: list[Mapping[str, Any]]
    open: Pending
    """What ``pending`` comes to, also where not all of it is there."""
    outcomes: list[Mapping[str, Any]]
    licences: Mapping[str, Any] | None = None
    """Of a person: ``held``, each with type and whose doing it is, and ``rule``, the place of the rule that counts."""
    privileges: list[tuple[str, HeldPrivilege]] = field(default_factory=list)
    """What rules gave: of a group, or by the groups that a person is in; each with the BPS id of the group."""
    privilege_rules: RuleState = field(default_factory=RuleState)
    rejected: list[Mapping[str, Any]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)


class Explanations:
    """Looks objects up, by id, name or BPS id, and tells what is known of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, wanted: str, *, in_part: bool = True) -> list[Found]:
        """Return the objects that are meant: by source id, else by BPS id, by UPN, by display name, or a part of it.

        ``in_part``: False asks for the whole of one of these.
        """
        text = wanted.strip()
        with reading(self._database) as connection:
            for number in range(5 if in_part else 4):
                found: list[Found] = []
                for kind in RECORD_KINDS:
                    condition = _make_conditions(kind, text)[number]
                    statement = _select_found(kind).where(condition).limit(_FOUND_AT_MOST)
                    found += [
                        Found(kind=kind, key=row.key, id=row.id, name=row.name or "", state=row.state)
                        for row in connection.execute(statement)
                    ]
                if found:
                    return found
        return []

    def find_source(self, kind: RecordKind, source_id: str) -> Found | None:
        """Return the object of a source id, and nothing that is called like it."""
        row = self._database.load_row(_SELECT_FOUND[kind], {"id": source_id.lower()})
        if row is None:
            return None
        return Found(kind=kind, key=row.key, id=row.id, name=row.name or "", state=row.state)

    def find_record(self, wanted: str, part: Part | None = None) -> Mapping[str, Any] | None:
        """Return the portal's record of a BPS id that no object of the tenant has, as an explanation has the target."""
        with reading(self._database) as connection:
            found = load_untied(connection, fold(wanted.strip()))
            return None if found is None else {"kind": found[0], **describe_record(connection, *found, part)}

    def find_untied(self, wanted: str) -> tuple[RecordKind, int] | None:
        """Return kind and key of that record."""
        with reading(self._database) as connection:
            found = load_untied(connection, fold(wanted.strip()))
            return None if found is None else (found[0], found[1].key)

    def find_records(self, found: Found) -> list[int]:
        """Return the keys of the records that an object has, or maps to."""
        with reading(self._database) as connection:
            return _find_records(connection, found, _load_desired(connection, found))

    def explain(self, found: Found, *, now: datetime, part: Part | None = None) -> Explanation:
        """Return what is known of one object. ``now`` tells what has expired.

        ``part``: not all links of its records, nor all that is open of it, but so many; `Explanation.open` counts.
        """
        with reading(self._database) as connection:
            places = load_places(connection, found.key)
            source = _load_source(connection, found, places)
            desired = _load_desired(connection, found)
            records = _find_records(connection, found, desired)
            pending = load_pending(connection, records, now=now, at_most=part.open if part else None)
            return Explanation(
                found=found,
                source=source,
                desired=None if desired is None else _describe_desired(connection, found, desired),
                target=load_target(connection, found.kind, records, part),
                pending=pending.entries,
                open=pending,
                outcomes=load_outcomes(connection, records),
                licences=_load_licences(connection, found, records) if found.kind == "user" else None,
                privileges=_load_privileges(connection, found, records),
                privilege_rules=load_rule_state(connection),
                rejected=load_rejected(connection, records),
                places=places,
            )


def _make_conditions(kind: RecordKind, text: str) -> tuple[Any, ...]:
    """Return what an object may be known by, the surest first.

    SQLite knows the case of English letters only, so that of others several spellings are looked for.
    """
    spelled = [text.lower()] if text.isascii() else [text.lower(), text, text.upper(), text.title()]
    name = func.lower(_SOURCE[kind].c.name)
    upn = func.lower(source_users.c.upn) == text.lower() if kind == "user" else false()
    return (
        source_objects.c.id == text.lower(),
        _has_bps_id(kind, fold(text)),
        upn,
        or_(name == text.lower(), _SOURCE[kind].c.name.in_(spelled)),
        or_(*(column.contains(each, autoescape=True) for each in spelled for column in (name, _SOURCE[kind].c.name)))
        if text
        else false(),
    )


def _has_bps_id(kind: RecordKind, folded: str) -> Any:
    principal = select(target_principals.c.key).where(target_principals.c.bps_fold == folded)
    desired, target = _DESIRED[kind], _TARGET[kind]
    return or_(
        _SOURCE[kind].c.key.in_(select(desired.c.key).where(desired.c.principal_key.in_(principal))),
        _SOURCE[kind].c.key.in_(select(target.c.source_key).where(target.c.key.in_(principal))),
    )


def _load_source(connection: Connection, found: Found, places: list[Place]) -> dict[str, Any]:
    table = _SOURCE[found.kind]
    row = connection.execute(select(table).where(table.c.key == found.key)).one()
    attributes = decode_json(row.attributes)
    source: dict[str, Any] = {
        "id": found.id,
        "kind": found.kind,
        "state": row.state,
        "removed_at": row.removed_at,
        "attributes": attributes,
    }
    if found.kind == "user":
        source["manager"] = connection.scalar(
            select(source_objects.c.id).where(source_objects.c.key == row.manager_key)
        )
        source["owns"] = load_owned(connection, "user", found.key)
    else:
        source["owners"] = load_owned(connection, "group", found.key)
        source["contains"] = _load_contained(connection, found.key)
    source["groups"] = [
        {
            "id": place.id,
            "name": place.name,
            "through": place.path[1] if len(place.path) > 1 else None,
            "path": list(place.path),
        }
        for place in places
    ]
    return source


def _load_contained(connection: Connection, key: int) -> dict[str, Any]:
    """Return how many active people are directly in a group, and which groups."""
    inside = source_members.c.group_key == key
    people = (
        select(func.count())
        .select_from(source_members.join(source_users, source_users.c.key == source_members.c.member_key))
        .where(inside, source_users.c.state == "active")
    )
    groups = (
        select(source_objects.c.id, source_groups.c.name)
        .join(source_groups, source_groups.c.key == source_objects.c.key)
        .join(source_members, source_members.c.member_key == source_groups.c.key)
        .where(inside, source_groups.c.state == "active")
        .order_by(source_groups.c.name, source_objects.c.id)
    )
    found = [{"id": row.id, "name": row.name} for row in connection.execute(groups)]
    return {"users": connection.scalar(people) or 0, "groups": found}


def _describe_desired(connection: Connection, found: Found, row: Row[Any]) -> dict[str, Any]:
    bps_id = connection.scalar(select(target_principals.c.bps_id).where(target_principals.c.key == row.principal_key))
    fields = ("name", "email", "phone", "job_title") if found.kind == "user" else ("name", "email")
    return {
        "state": row.state,
        "cause": row.cause or None,
        "reason": row.reason,
        "bps_id": bps_id,
        "bound": bool(connection.scalar(select(bindings.c.record_key).where(bindings.c.source_key == found.key))),
        "fields": {name: getattr(row, name) for name in fields},
        "manager": load_manager(connection, found.key) if found.kind == "user" else None,
    }


def _load_desired(connection: Connection, found: Found) -> Row[Any] | None:
    desired = _DESIRED[found.kind]
    return connection.execute(select(desired).where(desired.c.key == found.key)).first()


def _find_records(connection: Connection, found: Found, desired: Row[Any] | None) -> list[int]:
    target = _TARGET[found.kind]
    keys = set(connection.scalars(select(target.c.key).where(target.c.source_key == found.key)))
    if desired is not None and desired.principal_key is not None:
        keys.add(desired.principal_key)
    return sorted(keys)


def _load_licences(connection: Connection, found: Found, records: list[int]) -> dict[str, Any]:
    role = connection.scalar(
        select(func.min(scope_members.c.role)).where(
            scope_members.c.key == found.key, scope_members.c.role.startswith(LICENCE_ROLE)
        )
    )
    held = [
        {
            "type": licence.type,
            "granted": "by a rule" if licence.ours else "by hand",
            "settings": dict(licence.settings),
        }
        for _, licences in sorted(load_holding(connection, records).items())
        for licence in licences
    ]
    return {
        "rule": None if role is None else int(role.removeprefix(LICENCE_ROLE)),
        "held": held,
        "perpetual": load_marker(connection, LICENCES_READ) == "perpetual",
    }


def _load_privileges(connection: Connection, found: Found, records: list[int]) -> list[tuple[str, HeldPrivilege]]:
    groups = records
    if found.kind == "user":
        inside = select(target_members.c.group_key).where(among_values(target_members.c.member_key, records))
        groups = list(connection.scalars(inside)) if records else []
    held = load_held_of(connection, groups)
    names = select(target_principals.c.key, target_principals.c.bps_id).where(
        among_values(target_principals.c.key, sorted(held))
    )
    return [(row.bps_id, each) for row in connection.execute(names) for each in held[row.key]] if held else []


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_found(kind: RecordKind) -> Select[Any]:
    table = _SOURCE[kind]
    return (
        select(table.c.key, source_objects.c.id, table.c.name, table.c.state)
        .join(source_objects, source_objects.c.key == table.c.key)
        .order_by(table.c.name, source_objects.c.id)
    )


_SELECT_FOUND = {kind: _select_found(kind).where(source_objects.c.id == bindparam("id")) for kind in RECORD_KINDS}
