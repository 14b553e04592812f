"""Who plays: a copy of the stored company under pseudonyms, or a company that is made up, in an empty sandbox."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from syncd.bootstrap.rules import make_rules
from syncd.config import PrivilegeSetting, Settings
from syncd.errors import Conflict
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.source import KIND
from syncd.plan.pseudonyms import Pseudonyms
from syncd.plan.rules import Rules
from syncd.sandbox.portal.foreign import add_foreign_records, add_local_users
from syncd.sandbox.portal.places import ContentDatabase, Item
from syncd.sandbox.server import Sandbox
from syncd.sandbox.tenant.company import CompanyOptions, found_company
from syncd.sandbox.tenant.objects import Group, Node, Relation
from syncd.store.reports.company import StoredCompany

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SHARES: Mapping[str, float] = {"include": 0.9, "exclude": 0.02, "rule": 0.2}
"""Of the made-up people, who is in a group that the configuration names for that."""
_LEAST_GROUPS, _PEOPLE_OF_A_GROUP, _PLACES_OF_A_PERSON = 20, 8, 6
_MOST_BY_HAND = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What was founded. ``protect``: the protected BPS ids as the copied people bear them."""

    made_up: bool
    people: int
    groups: int
    named: frozenset[str]
    """Ids of the groups that the configuration names."""
    stored_people: int = 0
    protect: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def found(sandbox: Sandbox, settings: Settings, company: StoredCompany | None, *, people: int, seed: int) -> Cast:
    """Fill both sides of an empty sandbox for this configuration, and return what it holds."""
    rules = make_rules(settings)
    add_places(sandbox.portal.databases, settings.privileges)
    add_foreign_records(sandbox.portal)
    if company is not None and company.users:
        return _copy(sandbox, settings, rules, company)
    return _make_up(sandbox, settings, people=people, seed=seed)


def list_named_groups(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield every group that the configuration names, by id or name, with what for."""
    yield from (("include", name) for name in settings.scope.include_groups)
    yield from (("exclude", name) for name in settings.scope.exclude_groups)
    yield from (("rule", rule.group) for rule in settings.licences)
    yield from (("rule", rule.group) for rule in settings.privileges)


# ---- made up


def _make_up(sandbox: Sandbox, settings: Settings, *, people: int, seed: int) -> Cast:
    directory, chance = sandbox.directory, random.Random(f"drill-{seed}")  # noqa: S311 - reproducible imitation
    groups = max(_LEAST_GROUPS, people // _PEOPLE_OF_A_GROUP)
    found_company(
        directory,
        CompanyOptions(users=people, groups=groups, memberships=_PLACES_OF_A_PERSON * people, seed=seed),
    )
    everybody = [user.id for user in directory.users]
    named = set[str]()
    for use, name in list_named_groups(settings):
        known = [group.id for group in directory.groups if group.id == name.lower() or _bears(group, name)]
        named |= set(known)
        if known:
            continue
        properties: dict[str, object] = {
            "displayName": name, "groupTypes": [], "securityEnabled": True, "mailEnabled": False,
        }  # fmt: skip
        object_id = name.lower() if _GUID.fullmatch(name) else str(uuid.UUID(int=chance.getrandbits(128), version=4))
        group = Group(object_id, "group", properties)
        named.add(object_id)
        directory.place(group)
        directory.place_links(group, chance.sample(everybody, max(1, round(len(everybody) * _SHARES[use]))))
    return Cast(
        made_up=True,
        people=len(directory.users),
        groups=len(directory.groups),
        named=frozenset(named),
        protect=settings.scope.protect,
    )


def _bears(group: Group, name: str) -> bool:
    return str(group.properties.get("displayName")).casefold() == name.casefold()


# ---- copied


def _copy(sandbox: Sandbox, settings: Settings, rules: Rules, company: StoredCompany) -> Cast:
    users, groups = company.users, company.groups
    looked_at = {kind: _list_looked_at(rules, kind) for kind in RECORD_KINDS}
    disguise = Pseudonyms(looked_at["user"])
    of_groups = disguise.beside(looked_at["group"])
    directory, doubled = sandbox.directory, set[str]()
    for stored in users.values():
        properties = disguise.disguise(stored.attributes)
        subtype = properties.pop(KIND, None)
        node = Node(stored.id, "user", properties, subtype="agentUser" if subtype else None)
        node.manager = None if stored.manager is None else users[stored.manager].id
        try:
            directory.place(node)
        except Conflict:
            doubled.add(stored.id)
    for user in directory.users if doubled else ():
        if user.manager in doubled:
            user.manager = None
    placed: dict[int, Group] = {}
    for key, stored in groups.items():
        properties = of_groups.disguise(stored.attributes)
        if key in company.named:
            properties["displayName"] = stored.attributes.get("displayName")
        placed[key] = Group(stored.id, "group", properties)
        directory.place(placed[key])
    relations: tuple[tuple[Mapping[int, list[int]], Relation], ...] = (
        (company.members, "members"),
        (company.owners, "owners"),
    )
    for links, relation in relations:
        for key, group in placed.items():
            ids = [(users if member in users else groups)[member].id for member in links.get(key, ())]
            directory.place_links(group, (each for each in ids if each not in doubled), relation=relation)
    local = min(_MOST_BY_HAND, company.by_hand * len(users) // company.people)
    add_local_users(sandbox.portal, ((f"by-hand-{n}@local.example", f"By hand {n}") for n in range(local)))
    bps_id = rules.mapping.user_bps_id
    verbatim = bps_id.expression is not None or looked_at["user"].intersection(bps_id.attributes)
    protect = settings.scope.protect if verbatim else tuple(map(disguise.replace, settings.scope.protect))
    return Cast(
        made_up=False,
        people=len(users) - len(doubled),
        groups=len(placed),
        named=frozenset(groups[key].id for key in company.named),
        stored_people=company.people,
        protect=protect,
        notes=(f"Left out: {len(doubled)} people with a login that another has.",) if doubled else (),
    )


def _list_looked_at(rules: Rules, kind: RecordKind) -> frozenset[str]:
    """Return the attributes that an expression looks at, whose values decide something."""
    return frozenset().union(*(expression.attributes[kind] for expression in rules.list_expressions(kind)))


# ---- places of privileges


def add_places(databases: dict[int, ContentDatabase], rules: Collection[PrivilegeSetting]) -> None:
    """Give the portal every place and company that a rule about privileges names."""
    number = 10_000
    for rule in rules:
        database = databases.setdefault(rule.database, ContentDatabase([], []))
        references = {
            "application": rule.application, "process": rule.process, "workflow": rule.workflow,
            "form type": rule.form_type, "company": rule.company,
        }  # fmt: skip
        made: dict[str, Item] = {}
        for kind, reference in references.items():
            if reference is None or _is_there(database, kind, reference):
                continue
            number += 1
            made[kind] = _make_place(kind, reference, number)
        if "company" in made:
            database.companies.append(made.pop("company"))
        if "form type" in made and "workflow" in made:
            made["workflow"].inside.append(made["form type"])
        if inside := [made[kind] for kind in ("process", "workflow", "form type") if kind in made]:
            process = made.get("process") or _make_place("process", f"Process {number}", number + 1)
            process.inside += [item for item in inside if item is not process]
            made["application"] = made.get("application") or _make_place("application", f"Application {number}", number)
            made["application"].inside.append(process)
            number += 1
        if "application" in made:
            database.applications.append(made["application"])


def _is_there(database: ContentDatabase, kind: str, reference: str) -> bool:
    items = database.companies if kind == "company" else list(database.items(kind))  # type: ignore[arg-type]  # a Kind
    return any(reference.casefold() in (str(item.number), item.guid, item.name.casefold()) for item in items)


def _make_place(kind: str, reference: str, number: int) -> Item:
    guid = reference.lower() if _GUID.fullmatch(reference) else str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind} {number}"))
    shown = int(reference) if reference.isdecimal() else number
    return Item(kind, shown, guid, reference, [])  # type: ignore[arg-type]  # a Kind
