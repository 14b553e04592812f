"""The objects of the imitation tenant and one line of its change log: plain values that ``directory`` keeps in step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["user", "group", "device", "servicePrincipal", "orgContact"]
Subtype = Literal["agentUser", "agentIdentity"]
State = Literal["active", "deleted", "gone"]
Relation = Literal["members", "owners"]
What = Literal["created", "restored", "removed", "changed", "linked", "unlinked", "manager"]


@dataclass(slots=True, eq=False)
class Node:
    """One directory object. An absent property was never set, None was cleared.

    ``subtype`` is the entity type that derives from the one of ``kind``: an agentUser is a user, an agentIdentity a
    servicePrincipal.
    """

    id: str
    kind: Kind
    properties: dict[str, object]
    state: State = "active"
    manager: str | None = None
    subtype: Subtype | None = None
    rendered: dict[object, bytes] = field(default_factory=dict)

    @property
    def hides_members(self) -> bool:
        """Return whether its members are shown to those with Member.Read.Hidden only."""
        return self.properties.get("visibility") == "HiddenMembership"

    def copy(self) -> Node:
        """Return the object as it is now, independent of what happens to this one."""
        return replace(self, properties=dict(self.properties), rendered={})


@dataclass(slots=True, eq=False)
class Group(Node):
    """A group: links map the other object's id to the number of the link, so that paging survives changes."""

    members: dict[str, int] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
    former: dict[str, None] = field(default_factory=dict)

    def copy(self) -> Group:
        """Return the group as it is now, with its links."""
        return replace(
            self,
            properties=dict(self.properties),
            rendered={},
            members=dict(self.members),
            owners=dict(self.owners),
            former=dict(self.former),
        )

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
