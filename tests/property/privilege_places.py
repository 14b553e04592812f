"""The places of the imitation portal in long histories: renamed, hidden, gone and back, and named in any spelling."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from syncd.plan.rules import PrivilegeRule
from syncd.sandbox.portal.places import KINDS, Given, Item, Kind
from tests.contract.office import Office
from tests.contract.privilege_rules import rule

PLACES: tuple[dict[str, str], ...] = (
    {"application": "Invoices"},
    {"application": "Contracts"},
    {"process": "Suppliers"},
    {"process": "Contracts", "company": "PL01"},
    {"process": "Contracts", "company": "DE01"},
    {"form_type": "Correction", "workflow": "Approval"},
)
"""What rules are about, each thing by the name that it has in the beginning."""
LEVELS = ("ReadOnly", "Administrator")
_KINDS: dict[str, Kind] = {
    "application": "application",
    "process": "process",
    "form_type": "form type",
    "workflow": "workflow",
    "company": "company",
}
_Shown = Literal["all", "privileged", "none"]


@dataclass
class Places:
    """What the portal has of applications, processes, form types and companies, and who moves them."""

    office: Office
    chance: random.Random
    numbers: Iterator[int]
    lost: set[Given]
    """What was there when a place went: nobody knows afterwards whose it is."""
    _items: dict[str, Item] = field(default_factory=dict)
    _gone: dict[str, list[tuple[list[Item], int]]] = field(default_factory=dict)
    """The places that are away by their guid, with where each of them was."""

    def __post_init__(self) -> None:
        database = self.office.wire.store.databases[1]
        self._items = {item.guid: item for kind in KINDS for item in database.items(kind)}
        self._named = {(item.kind, item.name): item for item in reversed(self._items.values())}
        self.shown: _Shown = self.office.wire.knobs.places_visible

    def find(self, kind: str, said: str) -> Item:
        """Return what a rule means by a guid, a number or any name that it ever had: no other thing gets that."""
        named = self._named.get((_KINDS[kind], said))
        alike = (item for item in self._items.values() if item.kind == _KINDS[kind])
        return named or next(item for item in alike if said in (item.guid, str(item.number)))

    def describe(self, one: PrivilegeRule) -> tuple[str, str, str]:
        """Return place, level and company of a rule by guid, as `Given` has them."""
        company = self.find("company", one.company).guid if one.company else ""
        return self.find(one.kind, one.place).guid, one.level, company

    def read_line(self, line: dict[str, Any]) -> str:
        """Return the guid of the place that a line of ``syncd privileges`` is about."""
        title = str(line["place"]).partition(" (")[0]
        kind = next(kind for kind in ("application", "process", "form type") if title.startswith(kind))
        return self.find(kind.replace(" ", "_"), title.removeprefix(kind).strip()).guid

    def spell(self, group: str, level: str, place: dict[str, str]) -> PrivilegeRule:
        """Return a rule, each thing that it names in one of its spellings of today."""
        spelt = {}
        for kind, name in place.items():
            item = self.find(kind, name)
            ways = (item.name, item.guid, *((str(item.number),) if kind in ("company", "workflow") else ()))
            seen = self.shown == "all" and self.office.wire.knobs.places_visible == "all"
            spelt[kind] = self.chance.choice(ways) if seen else item.guid
        return rule(group, level, **spelt)

    def name_by_guid(self, one: PrivilegeRule) -> PrivilegeRule:
        """Return the same rule as everybody understands it who never heard of a name."""
        spelt: dict[str, str] = {one.kind: self.find(one.kind, one.place).guid}
        spelt |= {"workflow": self.find("workflow", one.workflow).guid} if one.workflow else {}
        spelt |= {"company": self.find("company", one.company).guid} if one.company else {}
        return rule(one.group, one.level, **spelt)

    def rename(self) -> None:
        """Somebody renames a place, a workflow or a company."""
        item = self.chance.choice([item for item in self._items.values() if item.kind != "form type"])
        item.name = f"{item.name.partition(' ')[0]} {next(self.numbers)}"
        self._named[item.kind, item.name] = item

    def hide(self) -> None:
        """The API application is shown no lists any more, or those of its own places, or all again."""
        if self.shown == "all":
            knobs, other = self.office.wire.knobs, self.chance.choice(("none", "privileged"))
            knobs.places_visible = "all" if knobs.places_visible != "all" else other  # type: ignore[assignment]

    def remove(self) -> None:
        """Somebody deletes an application, a process or a form type; what is given there stays with it."""
        there = [self.find(kind, name) for one in PLACES for kind, name in list(one.items())[:1]]
        item = self.chance.choice([item for item in there if item.guid not in self._gone])
        if len(self._gone) > 1:
            return
        database = self.office.wire.store.databases[1]
        lists = [database.applications, *(each.inside for kind in KINDS for each in database.items(kind))]
        found = [(some, some.index(item)) for some in lists if item in some]
        if not found:  # it lies in something that is away
            return
        for some, _ in found:
            some.remove(item)
        self._gone[item.guid] = found
        self.forget()

    def forget(self) -> None:
        """What is at a place that is away counts as given by hand when it comes back."""
        there = {item.guid for kind in KINDS for item in self.office.wire.store.databases[1].items(kind)} | {""}
        self.lost |= {one for one in self.office.wire.store.privileges if not {*one.place[2:]} <= there}

    def put_back(self) -> None:
        """Somebody brings everything back."""
        self.forget()
        for guid, found in reversed(self._gone.items()):
            for some, place in found:
                some.insert(place, self._items[guid])
        self._gone.clear()

    def is_there(self, one: PrivilegeRule) -> bool:
        """Return whether nobody has deleted what a rule names."""
        return self.has(self.find(one.kind, one.place).guid)

    def has(self, guid: str) -> bool:
        """Return whether there is such a place now."""
        database = self.office.wire.store.databases[1]
        return any(item.guid == guid for kind in KINDS for item in database.items(kind))
