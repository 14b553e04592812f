"""What the inventory asks and changes when it takes over a reading, as statements."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from syncd.model.change import ObjectKind
from syncd.model.kinds import RecordKind
from syncd.plan.privileges import OURS
from syncd.store.db.parameters import among_bound
from syncd.store.inventory.drift_notes import select_vanishing
from syncd.store.inventory.history import make_ending
from syncd.store.inventory.written import LINKS, OWN_FIELDS, TABLES, make_given_forgetting
from syncd.store.schema.tables import (
    changes,
    desired_groups,
    privileges,
    seen_principals,
    target_groups,
    target_licences,
    target_principals,
    target_users,
)

KINDS: tuple[RecordKind, ...] = ("group", "user")


@cache
def select_stored(kind: RecordKind) -> Select[Any]:
    """Return what is stored of the records ``keys``: key, status, and the fields that are ours to write."""
    table = TABLES[kind]
    columns = [table.c.key, table.c.status, *(table.c[name] for name in OWN_FIELDS[kind])]
    return select(*columns).where(among_bound(table.c.key, "keys"))


@cache
def select_unshown(kind: RecordKind) -> Select[Any]:
    """Return the keys of records that we created and that the portal may not show yet."""
    table = TABLES[kind]
    return select(table.c.key).where(
        table.c.origin == "created",
        table.c.status == "WaitingForSynchronization",
        table.c.synced_at > bindparam("since"),
    )


@cache
def select_missing(kind: RecordKind) -> Select[Any]:
    """Return BPS ids of our records that the full read did not meet, without those that are younger than ``since``."""
    table = TABLES[kind]
    return (
        select(target_principals.c.bps_id)
        .join(table, table.c.key == target_principals.c.key)
        .where(
            table.c.origin.is_not(None),
            table.c.key.not_in(select(seen_principals.c.key)),
            table.c.key.not_in(select_unshown(kind)),
        )
        .order_by(target_principals.c.bps_fold)
    )


def _is_gone(kind: RecordKind) -> ColumnElement[bool]:
    """Return the condition that a full read did not meet a record, which is a stranger's, or confirmed as gone."""
    table = TABLES[kind]
    keys = select(target_principals.c.key).where(among_bound(target_principals.c.bps_fold, "confirmed", textual=True))
    strange = table.c.origin.is_(None)
    return and_(table.c.key.not_in(select(seen_principals.c.key)), strange | table.c.key.in_(keys))


@cache
def select_gone(kind: RecordKind) -> Select[Any]:
    """Return what vanishes with the records that the full read did not meet; ``confirmed``: folded BPS ids of ours."""
    return select_vanishing(kind, _is_gone(kind))


@cache
def select_chosen(kind: RecordKind) -> Select[Any]:
    """Return what vanishes with the records ``keys``."""
    return select_vanishing(kind, among_bound(TABLES[kind].c.key, "keys"))


def _select_groups_to_detail() -> Select[Any]:
    wanted = exists().where(desired_groups.c.principal_key == target_groups.c.key, desired_groups.c.state == "wanted")
    protected = among_bound(target_principals.c.bps_fold, "protected", textual=True)
    return (
        select(target_principals.c.bps_id)
        .join(target_groups, target_groups.c.key == target_principals.c.key)
        .where(target_groups.c.origin.is_not(None) | wanted | protected)
        .order_by(target_principals.c.bps_fold)
    )


def _count_owned() -> dict[ObjectKind, Select[Any]]:
    owned: dict[ObjectKind, Select[Any]] = {
        kind: select(literal(1))
        .select_from(links.join(target_groups, target_groups.c.key == links.c.group_key))
        .where(target_groups.c.origin.is_not(None))
        for kind, links in LINKS.items()
    }
    records: dict[ObjectKind, Table] = {"user": target_users, "group": target_groups, "licence": target_licences}
    for kind, table in records.items():
        ours = table.c.origin.in_(("created", "adopted", "granted"))
        owned[kind] = select(literal(1)).select_from(table).where(ours)
    owned["privilege"] = select(literal(1)).select_from(privileges).where(privileges.c.state.in_(OURS))
    return {
        kind: select(func.count()).select_from(rows.limit(bindparam("enough")).subquery())
        for kind, rows in owned.items()
    }


OWNS_ANYTHING = select(or_(*(exists().where(table.c.origin.is_not(None)) for table in TABLES.values())))
DROP_STARTED = (
    update(changes).where(changes.c.action == "create", changes.c.status == "started").values(status="dropped")
)
FORGET_SEEN = delete(seen_principals)
END_UNSEEN = tuple(
    make_ending(kind, links.c.group_key.in_(select(target_groups.c.key).where(_is_gone("group"))))
    for kind, links in LINKS.items()
)
FORGET_GIVEN_UNSEEN = make_given_forgetting(
    privileges.c.group_key.in_(select(target_groups.c.key).where(_is_gone("group")))
)
FORGET_UNSEEN = {kind: delete(TABLES[kind]).where(_is_gone(kind)) for kind in KINDS}
SELECT_LINKS = {kind: select(links).where(among_bound(links.c.group_key, "groups")) for kind, links in LINKS.items()}
SELECT_ACCOUNTS = select(target_users.c.key).where(among_bound(target_users.c.key, "keys"))
DELETE_GROUPS = (
    delete(target_groups).where(among_bound(target_groups.c.key, "keys")),
    *make_given_forgetting(among_bound(privileges.c.group_key, "keys")),
)
SELECT_GROUPS_TO_DETAIL = _select_groups_to_detail()
SET_SYNCHRONIZED = tuple(
    update(table)
    .where(
        table.c.key.in_(
            select(target_principals.c.key).where(among_bound(target_principals.c.bps_fold, "folds", textual=True))
        ),
        table.c.status != literal_column("'Synchronized'"),  # as the index says it
    )
    .values(status="Synchronized")
    for table in TABLES.values()
)
COUNT_OWNED = _count_owned()
