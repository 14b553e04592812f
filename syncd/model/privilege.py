"""Privileges as values: the places of a portal, what a group may do there, and what the portal says to a change.

The levels are those of WEBCON's API document (``admin/privileges``). A place is known by its guid, or by its number
where no list of the portal tells the guid; so is a company (a business entity). Both are texts here. What is known by
its number gets its guid as soon as a list tells it: until then two privileges may be one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

PlaceKind = Literal["application", "process", "form_type"]
ListKind = Literal["application", "process", "workflow", "form_type", "company"]
"""What the portal lists: places, the workflows that form types belong to, and companies."""

LEVELS: Mapping[PlaceKind, tuple[str, ...]] = {
    "application": ("Administrator", "PortalDesigner", "MetadataAccess", "ReadOnly"),
    "process": (
        "Administrator",
        "Modify",
        "ReadOnly",
        "ReadOnlyWithoutAttachments",
        "Start",
        "ManageArchive",
        "DesignerDeskEditInPortal",
    ),
}
LEVELS = {**LEVELS, "form_type": LEVELS["process"]}

PLACE_WORDS: Mapping[ListKind, str] = {
    "application": "application",
    "process": "process",
    "workflow": "workflow",
    "form_type": "form type",
    "company": "company",
}


PLACES_WORDS: Mapping[ListKind, str] = {
    "application": "applications",
    "process": "processes",
    "workflow": "workflows",
    "form_type": "form types",
    "company": "companies",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An entry of a list of the portal; ``guid`` or ``name`` is empty where it does not tell them.

    ``code``: a company's short name.
    """

    number: int | None
    guid: str
    name: str
    code: str = ""

    @property
    def key(self) -> str:
        """Return what it is remembered by."""
        return self.guid or str(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something may be done. ``workflow``: the one that a form type belongs to. Names are for people only.

    ``key``: empty for what a rule names and nobody has looked up yet.
    """

    database: int
    kind: PlaceKind
    key: str
    workflow: str = ""
    name: str = field(default="", compare=False)

    @property
    def token(self) -> str:
        """Return what tells this place from every other one."""
        return "/".join((str(self.database), self.kind, self.workflow, self.key)).casefold()

    def __str__(self) -> str:
        return f"{PLACE_WORDS[self.kind]} {self.name or self.key} (database {self.database})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Privilege:
    """What may be done at a place; ``company`` empty: for all of them."""

    place: Place
    level: str
    company: str = ""
    company_name: str = field(default="", compare=False)

    @property
    def token(self) -> str:
        """Return what tells this privilege from every other one."""
        return f"{self.place.token}/{self.company}/{self.level}".casefold()

    def __str__(self) -> str:
        company = f" for {self.company_name or self.company}" if self.company else ""
        return f"{self.level}: {self.place}{company}"

    @property
    def numbered(self) -> bool:
        """Return whether a part of it is known by its number alone."""
        return any(part.isdecimal() for part in self._parts)

    @property
    def _parts(self) -> tuple[str, str, str]:
        return self.place.key.casefold(), self.place.workflow.casefold(), self.company.casefold()

    def may_be(self, other: Privilege) -> bool:
        """Return whether both are the same, or may be.

        They may where one is known by a number and the other by a guid, and where nobody has looked one up yet.
        """
        if (self.place.database, self.place.kind) != (other.place.database, other.place.kind):
            return False
        if not self.place.key or not other.place.key:
            return True
        return self.level == other.level and all(
            mine == theirs or (mine and theirs and mine.isdecimal() != theirs.isdecimal())
            for mine, theirs in zip(self._parts, other._parts, strict=True)
        )

    def values(self) -> dict[str, str | None]:
        """Return it as the values of a change."""
        place = self.place
        found: dict[str, str | None] = {
            "database": str(place.database),
            "kind": place.kind,
            "place": place.key,
            "level": self.level,
        }
        more = {
            "workflow": place.workflow,
            "name": place.name,
            "company": self.company,
            "company_name": self.company_name,
        }
        return found | {name: value for name, value in more.items() if value}


def read_place(token: str) -> Place:
    """Return the place that ``Place.token`` made this of; nobody knows its name."""
    database, kind, workflow, key = token.split("/", 3)
    kinds: dict[str, PlaceKind] = {each: each for each in LEVELS}
    return Place(database=int(database), kind=kinds[kind], key=key, workflow=workflow)


def read_privilege(values: Mapping[str, str | None]) -> Privilege:
    """Return the privilege that ``Privilege.values`` made these of."""
    kinds: dict[str, PlaceKind] = {kind: kind for kind in LEVELS}
    place = Place(
        database=int(values["database"] or 0),
        kind=kinds[values["kind"] or ""],
        key=values["place"] or "",
        workflow=values.get("workflow") or "",
        name=values.get("name") or "",
    )
    return Privilege(
        place=place,
        level=values["level"] or "",
        company=values.get("company") or "",
        company_name=values.get("company_name") or "",
    )


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has any privilege at a place. ``complete`` False: a part could not be read; who is missing says nothing."""

    bps_ids: tuple[str, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Who has something at the applications and processes of these content databases, read at one moment.

    ``left``: so many applications or processes more there are at least.
    """

    at: datetime
    databases: tuple[int, ...]
    holders: Mapping[Place, tuple[str, ...]]
    unread: tuple[Place, ...]
    left: int


Said = Literal["done", "conflict", "unclear"]


@dataclass(frozen=True, slots=True)
class PrivilegeAnswer:
    """What the portal said to a change.

    ``said``: done · conflict: 409, which may mean that there was nothing to do, or that it refuses · unclear: nobody
    knows whether it took effect. ``listed``: whether a reading after an unclear attempt or a conflict names the group;
    None: there was none, or it could not be read. ``unsure``: an attempt before the last one was unclear. ``refused``:
    the last one was refused for want of the scope.
    """

    said: Said
    listed: bool | None = None
    unsure: bool = False
    reason: str = ""
    refused: bool = False
