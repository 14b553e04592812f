"""The objects of the imitation tenant and one line of its change log: plain values that ``directory`` keeps in step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["user", "group", "device", "servicePrincipal", "orgContact"]
State = Literal["active", "deleted", "gone"]
Relation = Literal["members", "owners"]
What = Literal["created", "restored", "removed", "changed", "linked", "unlinked", "manager"]


@dataclass(slots=True, eq=False)
class Node:
    """One directory object. An absent property was never set, None was cleared."""

    id: str
    kind: Kind
    properties: dict[str, object]
    state: State = "active"
    manager: str | None = None
    rendered: dict[object, bytes] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Group(Node):
    """A group: links map the other object's id to the number of the link, so that paging survives changes."""

    members: dict[str, int] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
    former: dict[str, None] = field(default_factory=dict)

    def links(self, relation: Relation) -> dict[str, int]:
        """Return the links of one relation, oldest first."""
        return self.members if relation == "members" else self.owners


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the change log. ``other`` is the linked object, or the manager before; ``fields`` what it touched."""

    at: float
    stream: Literal["users", "groups"]
    id: str
    what: What
    fields: tuple[str, ...] = ()
    other: str | None = None
