"""What groups and people may do in the portal, for impact cards: by the own record, and by the last readings of places.

Runs read only places that rules name, now or before, so that a portal without rules is asked nothing. The others are
read for a person who looks at cards. A reading tells who has something at a place, and neither the level nor the
company.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from syncd.model.kinds import RecordKind
from syncd.model.privilege import Place
from syncd.plan.privileges import HeldPrivilege
from syncd.plan.report.privileges import GrantedState, judge_granted
from syncd.store.db.markers import PRIVILEGES_REFUSED, load_marker
from syncd.store.db.parameters import among_bound
from syncd.store.privileges import statements as ask
from syncd.store.privileges.records import load_held_of, name_places
from syncd.store.privileges.survey import Surveyed, load_survey
from syncd.store.schema.tables import privilege_holders, target_members

Entry = Mapping[str, str | None]
"""``group`` (None: given to the person), ``place``, ``level`` and ``company`` (None: not known), ``state``."""

READER = "'syncd held --places' reads them"
NO_RULES = f"the applications and processes that name it: without [[privileges]] rules no run reads them; {READER}"
NO_SCOPE = "the applications and processes that name it: the API application lacks the scope App.Metadata.Read"
REST = f"the level of what was given by hand, and other applications and processes than those that rules name; {READER}"
_NAMED = 5
"""So many places that could not be read are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What the store knows of privileges at all.

    ``unknown``: what it does not know, in words. ``asked``: there are rules, so that the portal is asked. ``read``:
    something was read, or given by us. ``gone``: tokens of places that the portal has no more. ``surveyed``: what a
    person had read besides, without the places of rules.
    """

    unknown: str
    asked: bool
    read: bool
    gone: frozenset[str] = frozenset()
    surveyed: Surveyed | None = None


def load_knowledge(connection: Connection) -> Knowledge:
    """Return what is known of privileges at all."""
    rows = connection.execute(ask.SELECT_PLACES).all()
    refused = load_marker(connection, PRIVILEGES_REFUSED) is not None
    unread = _name_unread(connection, rows)
    survey = load_survey(connection)
    if survey is None and not any(row.state != "refused" for row in rows) and not connection.scalar(ask.HAS_ANY):
        return Knowledge(unknown=NO_SCOPE if refused else unread or NO_RULES, asked=refused or bool(rows), read=False)
    if unread and refused:
        unread += " (the API application may lack the scope App.Metadata.Read)"
    gone = frozenset(row.place for row in rows if row.state == "gone")
    rest = REST if survey is None else _describe_survey(survey)
    unknown = f"{unread}; {rest}" if unread else rest
    return Knowledge(unknown=unknown, asked=True, read=True, gone=gone, surveyed=survey)


def load_privileges_of(
    connection: Connection, kind: RecordKind, keys: Collection[int], known: Knowledge
) -> dict[int, list[Entry]]:
    """Return what these groups may do, or these people by their groups and by themselves; by key, none left out."""
    found: dict[int, list[Entry]] = {key: [] for key in keys}
    if not known.read or not keys:
        return found
    by: dict[int, list[int]] = {key: [key] for key in keys}
    if kind == "user":
        for member, group in connection.execute(_GROUPS_OF, {"keys": keys}):
            by[member].append(group)
    everybody = {each for groups in by.values() for each in groups}
    held = load_held_of(connection, everybody)
    holders = connection.execute(_HOLDERS_OF, {"keys": everybody}).all()
    titles = name_places(connection, {row.place for row in holders})
    names = {row.key: row.bps_id for row in connection.execute(ask.SELECT_NAMES, {"keys": everybody})}
    named: dict[int, list[Place]] = {}
    for row in holders:
        named.setdefault(row.key, []).append(titles[row.place])
    if (survey := known.surveyed) is not None:
        read = {row.place for row in connection.execute(ask.SELECT_PLACES)}
        for each in everybody & survey.holders.keys():
            tokens = [token for token in survey.holders[each] if token not in read]
            named.setdefault(each, []).extend(survey.places[token] for token in tokens)
    for key, groups in by.items():
        for each in sorted(groups, key=lambda group: (group != key, names.get(group, "").casefold())):
            group = None if kind == "user" and each == key else names.get(each)
            found[key] += _describe(group, held.get(each, ()), named.get(each, ()), known.gone)
    return found


def _describe(
    group: str | None, held: Iterable[HeldPrivilege], named: Iterable[Place], gone: Collection[str]
) -> list[Entry]:
    entries, ours = list[Entry](), set[str]()
    for each in held:
        state, privilege = judge_granted(each), each.privilege
        if state is None or privilege.place.token in gone:
            continue
        ours.add(privilege.place.token)
        company = privilege.company_name or privilege.company or None
        entries.append(_make(group, privilege.place, privilege.level, company=company, state=state))
    by_hand = {place.token: place for place in named if place.token not in ours and place.token not in gone}
    entries += [_make(group, by_hand[token], None, company=None, state="by_hand") for token in sorted(by_hand)]
    return entries


def _make(
    group: str | None, place: Place, level: str | None, *, company: str | None, state: GrantedState | str
) -> Entry:
    return {"group": group, "place": str(place), "level": level, "company": company, "state": state}


def _describe_survey(survey: Surveyed) -> str:
    """Return what a card does not know although somebody had all applications and processes read."""
    where = f"content database {', '.join(map(str, survey.databases))}"
    count = f"{len(survey.places):,} applications and processes of {where} were read at {survey.at:%Y-%m-%d %H:%M} UTC"
    parts = [f"the level of what was given by hand, and form types that no rule names ({count})"]
    if survey.unread:
        more = f" and {len(survey.unread) - _NAMED:,} more" if len(survey.unread) > _NAMED else ""
        parts.append(f"who has something at {', '.join(survey.unread[:_NAMED])}{more}, which could not be read")
    if survey.left:
        parts.append(f"{survey.left:,} or more applications and processes beyond those, which are too many to be read")
    return "; ".join(parts)


def _name_unread(connection: Connection, rows: Collection[Any]) -> str:
    unread = sorted(map(str, name_places(connection, [row.place for row in rows if row.said]).values()))
    more = f" and {len(unread) - _NAMED} more" if len(unread) > _NAMED else ""
    return f"who has something at {', '.join(unread[:_NAMED])}{more}, which could not be read" if unread else ""


# ---- statements -----------------------------------------------------------------------------------------------------

_GROUPS_OF = select(target_members.c.member_key, target_members.c.group_key).where(
    among_bound(target_members.c.member_key, "keys")
)
_HOLDERS_OF = (
    select(privilege_holders.c.place, privilege_holders.c.key)
    .where(among_bound(privilege_holders.c.key, "keys"))
    .order_by(privilege_holders.c.place)
)
