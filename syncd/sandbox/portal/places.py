"""Content databases of the imitation portal: applications, processes, workflows and form types, and companies."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["application", "process", "workflow", "form type", "company"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(slots=True, eq=False)
class Item:
    """Something in a content database. ``inside``: what lies in it; form types lie in workflows and in processes."""

    kind: Kind
    number: int
    guid: str
    name: str
    inside: list[Item] = field(default_factory=list)

    def list(self, kind: Kind) -> list[Item]:
        """Return what of a kind lies directly in it."""
        return [item for item in self.inside if item.kind == kind]


@dataclass(frozen=True, slots=True)
class Given:
    """One privilege: at which place (database, kind, workflow and place by guid), whose, which, and for whom."""

    place: tuple[int, str, str, str]
    key: str
    level: str
    company: str = ""


@dataclass(slots=True)
class ContentDatabase:
    """One database: its applications and companies."""

    applications: list[Item]
    companies: list[Item]

    def items(self, kind: Kind) -> Iterator[Item]:
        """Yield everything of a kind, each once."""
        seen = set[int]()
        waiting = [*self.applications, *self.companies]
        while waiting:
            item = waiting.pop(0)
            waiting[:0] = item.inside
            if item.kind == kind and id(item) not in seen:
                seen.add(id(item))
                yield item

    def find(self, kind: Kind, reference: str, among: Sequence[Item] | None = None) -> Item | None:
        """Return the one with this number or guid."""
        found = self.items(kind) if among is None else iter(among)
        wanted = reference.casefold()
        return next((item for item in found if wanted in (str(item.number), item.guid)), None)


_COMPANY: Mapping[str, Mapping[str, tuple[str, Sequence[str]]]] = {
    "Invoices": {"Cost invoices": ("Approval", ("Invoice", "Correction")), "Suppliers": ("Register", ("Supplier",))},
    "Contracts": {"Contracts": ("Signing", ("Contract", "Annex"))},
    "Leave requests": {"Leave requests": ("Request", ("Leave request",))},
}
_COMPANIES = ("PL01", "DE01")


def found_databases() -> dict[int, ContentDatabase]:
    """Return the databases of a small company: two, of which one has an application that both have."""
    return {1: _make_database(1, tuple(_COMPANY)), 2: _make_database(2, ("Contracts",))}


def _make_database(number: int, applications: Sequence[str]) -> ContentDatabase:
    counts: dict[str, int] = {}

    def make(kind: Kind, name: str, inside: list[Item]) -> Item:
        counts[kind] = counts.get(kind, 0) + 1
        guid = uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox:{number}:{kind}:{counts[kind]}")
        return Item(kind, 10 * number + counts[kind], str(guid), name, inside)

    made = []
    for application in applications:
        processes = []
        for process, (workflow, names) in _COMPANY[application].items():
            form_types = [make("form type", name, []) for name in names]
            processes.append(make("process", process, [make("workflow", workflow, form_types), *form_types]))
        made.append(make("application", application, processes))
    return ContentDatabase(made, [make("company", name, []) for name in _COMPANIES])
