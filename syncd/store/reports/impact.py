"""The impact card: what hangs on accounts and groups that are to be removed, as far as the store knows.

A membership that is removed has one, too, where the group may do something in the portal: whoever leaves it may not any
more. What is not known of privileges a card says in words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, or_, select

from syncd.model.change import PlannedChange
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.target import fold
from syncd.store.db.database import Database, reading
from syncd.store.db.parameters import among_bound
from syncd.store.licences.holdings import load_holding
from syncd.store.reports.impact_privileges import load_knowledge, load_privileges_of
from syncd.store.schema.tables import (
    substitutions,
    target_members,
    target_owners,
    target_principals,
    target_users,
)

Impact = Mapping[str, Any]
"""Plain values, but for the end of a substitution, which is an instant."""


def load_impacts(database: Database, placed: Sequence[tuple[PlannedChange, int, int | None]]) -> dict[int, Impact]:
    """Return, by place in the plan, what hangs on the accounts, groups and memberships that these changes remove."""
    removed = {
        kind: [each for each in placed if each[0].change.action == "delete" and each[0].change.object == kind]
        for kind in RECORD_KINDS
    }
    found: dict[int, Impact] = {}
    for kind, changes in removed.items():
        if changes:
            with reading(database) as connection:
                cards = load_cards(connection, kind, {key: planned.change.bps_id for planned, key, _ in changes})
            found.update({planned.seq: cards[key] for planned, key, _ in changes})
    left = {
        planned.seq: key for planned, key, _ in placed if is_departure(planned.change.action, planned.change.object)
    }
    if left:
        with reading(database) as connection:
            lost = load_losses(connection, set(left.values()))
        found.update({seq: lost[key] for seq, key in left.items() if key in lost})
    return found


def is_departure(action: str, what: str) -> bool:
    """Tell whether a change takes somebody out of a group."""
    return action == "unlink" and what == "membership"


def load_losses(connection: Connection, groups: Collection[int]) -> dict[int, Impact]:
    """Return what people lose who leave these groups; of a group that is known to give nothing, nothing."""
    known = load_knowledge(connection)
    if not groups or not known.asked:
        return {}
    may = load_privileges_of(connection, "group", groups, known)
    shared = {"unknown": known.unknown}
    return {
        key: {"privileges": may[key] if known.read else None, **shared} for key in groups if may[key] or not known.read
    }


def load_cards(connection: Connection, kind: RecordKind, names: Mapping[int, str]) -> dict[int, Impact]:
    """Return what hangs on these accounts or groups (key and BPS id of each)."""
    cards: dict[int, dict[str, Any]] = {
        key: {"memberships": [], "ownerships": [], "licences": [], "substitutions": [], "reports": []} for key in names
    }
    for name, statements in (("memberships", _PLACES[target_members]), ("ownerships", _PLACES[target_owners])):
        for key, bps_id in connection.execute(statements[kind], {"keys": names}) if names else ():
            cards[key][name].append(bps_id)
    if kind == "user" and names:
        for key, held in load_holding(connection, names).items():
            cards[key]["licences"] = [{"type": each.type, "by": "rule" if each.ours else "hand"} for each in held]
        for row in connection.execute(_SUBSTITUTIONS, {"keys": names}):
            told = {"of": row.original, "to": row.substitute, "until": row.ends_at}
            for key in {row.original_key, row.substitute_key} & cards.keys():
                cards[key]["substitutions"].append(told)
        for key, people in _load_reports(connection, names).items():
            cards[key]["reports"] = people
    known = load_knowledge(connection)
    may = load_privileges_of(connection, kind, cards.keys(), known)
    return {
        key: {**card, "privileges": may[key] if known.read else None, "unknown": known.unknown}
        for key, card in cards.items()
    }


def _load_reports(connection: Connection, names: Mapping[int, str]) -> dict[int, list[str]]:
    """Return the accounts that name these as their manager; a BPS id has no case."""
    by_fold, found = {fold(name): key for key, name in names.items()}, defaultdict[int, list[str]](list)
    rows = connection.execute(_REPORTS, {"folds": list(by_fold), "names": list(names.values())})
    for row in rows:
        found[by_fold[fold(row.manager)]].append(row.bps_id)
    return found


def describe_impact(card: Impact, most: int) -> list[str]:
    """Return what hangs on a record in words, a line for each kind of which there is anything; ``most`` names each."""
    licences = [f"{each['type']} (by {each['by']})" for each in card.get("licences", ())]
    tasks = [f"tasks of {each['of']} go to {each['to']}" for each in card.get("substitutions", ())]
    kinds = (
        ("memberships", card.get("memberships")),
        ("ownerships", card.get("ownerships")),
        ("licences", licences),
        ("substitutions", tasks),
        ("people who report to it", card.get("reports")),
        ("may do in the portal", [_describe_privilege(each, card) for each in card["privileges"] or ()]),
    )
    return [f"{what}: {_name(names, most)}" for what, names in kinds if names]


def _describe_privilege(each: Mapping[str, Any], card: Impact) -> str:
    """Return a privilege in words; through which group only where there may be several."""
    what = f"{each['level']} of {each['place']}" if each["level"] else f"something at {each['place']}"
    company = f" for {each['company']}" if each["company"] else ""
    notes = [f"by {each['group']}"] if each["group"] and len({one["group"] for one in card["privileges"]}) > 1 else []
    notes += [_NOTES[each["state"]]] if each["state"] in _NOTES else []
    return f"{what}{company}" + (f" ({', '.join(notes)})" if notes else "")


_NOTES = {"by_hand": "given by hand", "beside": "beside something by hand", "unknown": "it may be there"}


def _name(names: Collection[str], most: int) -> str:
    shown = list(names)[:most]
    return ", ".join(shown) + (f" and {len(names) - most:,} more" if len(names) > most else "")


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_places(table: Table, own: ColumnElement[Any], other: ColumnElement[Any]) -> Select[Any]:
    return (
        select(own, target_principals.c.bps_id)
        .select_from(table)
        .join(target_principals, target_principals.c.key == other)
        .where(among_bound(own, "keys"))
        .order_by(own, target_principals.c.bps_fold)
    )


_PLACES = {
    table: {
        "user": _select_places(table, table.c.member_key, table.c.group_key),
        "group": _select_places(table, table.c.group_key, table.c.member_key),
    }
    for table in (target_members, target_owners)
}
_original, _substitute = target_principals.alias("original"), target_principals.alias("substitute")
_SUBSTITUTIONS = (
    select(
        substitutions.c.original_key,
        substitutions.c.substitute_key,
        _original.c.bps_id.label("original"),
        _substitute.c.bps_id.label("substitute"),
        substitutions.c.ends_at,
    )
    .join(_original, _original.c.key == substitutions.c.original_key)
    .join(_substitute, _substitute.c.key == substitutions.c.substitute_key)
    .where(
        or_(
            among_bound(substitutions.c.original_key, "keys"),
            among_bound(substitutions.c.substitute_key, "keys"),
        )
    )
    .order_by(_original.c.bps_fold)
)
_REPORTS = (
    select(target_principals.c.bps_id, target_users.c.manager)
    .join(target_users, target_users.c.key == target_principals.c.key)
    .where(
        or_(
            among_bound(func.lower(target_users.c.manager), "folds", textual=True),
            among_bound(target_users.c.manager, "names", textual=True),
        )
    )
    .order_by(target_principals.c.bps_fold)
)
