"""The source as lists show it: objects with all they have, and the ids of who belongs to whom. Pure values.

A list shows what exists now and nothing else: neither deleted objects nor what leads to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from syncd.model.source import BadObject, Role, Stream

UNLISTED_KINDS = frozenset({"servicePrincipal", "agentIdentity", "agentIdentityBlueprintPrincipal"})
"""Types of members and owners that v1.0's lists leave out and delta may name ("List group members", known issue; "List
group owners", note), with their subtypes. They lead to nobody, so that none is kept: the directory does not depend on
how it was read."""

ListState = Literal["read", "missing", "hidden", "refused", "expired"]
"""``missing``: what the list belongs to does not exist; ``hidden``: we may not see it;
``refused``: there is no such list; ``expired``: its link came too
late, and the list must be read again from its start."""

Relation = Literal["members", "owners", "memberOf", "ownedObjects", "directReports"]
"""Which list of an object: a group's members or owners, the groups that an object is in or that a user owns, the people
whose manager a user is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One object of a list. ``attributes`` is anything that encodes as the JSON object of its values."""

    id: str
    name: str | None
    upn: str | None
    attributes: Any
    manager_id: str | None = None


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of the users or the groups; ``next_link`` None: the last one."""

    objects: tuple[Listed, ...]
    bad: tuple[BadObject, ...]
    next_link: str | None


@dataclass(frozen=True, slots=True)
class IdPage:
    """One page of bare ids of the users or the groups."""

    ids: tuple[str, ...]
    next_link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """Asks for the first page of a list of an object, or for the one that ``link`` leads to; ``again``: in its second
    reading."""

    owner_id: str
    relation: Relation = "members"
    link: str | None = None
    owner_is_user: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAnswer:
    """One page of it. ``bad`` are entries that could not be read: the others stand."""

    request: ListRequest
    ids: Sequence[str] = ()
    next_link: str | None = None
    state: ListState = "read"
    bad: tuple[BadObject, ...] = ()


OBJECT_WEIGHT = 10
"""How much memory an object takes, counted in memberships."""


@dataclass(slots=True, kw_only=True)
class Chunk:
    """What lists have shown and the directory has not seen yet. ``people`` are the members and owners of groups,
    ``ids`` those of a second reading."""

    objects: dict[Stream, list[Listed]] = field(default_factory=dict)
    bad: dict[Stream, list[BadObject]] = field(default_factory=dict)
    people: dict[Role, list[tuple[str, Sequence[str]]]] = field(default_factory=dict)
    ids: dict[Stream, list[str]] = field(default_factory=dict)
    weight: int = 0
    pages: int = 0

    def add_objects(self, stream: Stream, page: ListPage) -> None:
        """Add a page of objects."""
        self.objects.setdefault(stream, []).extend(page.objects)
        self.bad.setdefault(stream, []).extend(page.bad)
        self.weight += OBJECT_WEIGHT * len(page.objects) + len(page.bad)
        self.pages += 1

    def add_ids(self, stream: Stream, page: IdPage) -> None:
        """Add a page of a second reading."""
        self.ids.setdefault(stream, []).extend(page.ids)
        self.weight += len(page.ids)
        self.pages += 1

    def add_people(self, role: Role, answer: ListAnswer) -> None:
        """Add a page of a group's members or owners."""
        self.people.setdefault(role, []).append((answer.request.owner_id, answer.ids))
        self.bad.setdefault("groups", []).extend(answer.bad)
        self.weight += len(answer.ids) + 1
        self.pages += 1
