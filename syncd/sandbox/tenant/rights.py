"""What an application's permissions let it read: paths, members of hidden groups, and properties with one of their own.

Which permission reads what follows the permission tables of the single operations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from syncd.sandbox.tenant.schema import SCHEMAS

_USERS = frozenset({"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"})
_GROUP_PROPERTIES = frozenset(
    {"Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
)
_APPLICATIONS = frozenset(
    {"Application.Read.All", "Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"}
    | {"Directory.Read.All", "Directory.ReadWrite.All"}
)
_GROUPS = _GROUP_PROPERTIES | {"GroupMember.Read.All", "GroupMember.ReadWrite.All"}


@dataclass(frozen=True, slots=True)
class Rights:
    """The permissions of one token."""

    roles: frozenset[str]

    @property
    def users(self) -> bool:
        """Return whether properties of users may be read."""
        return bool(self.roles & _USERS)

    @property
    def hidden_members(self) -> bool:
        """Return whether members of groups with hidden membership may be read."""
        return "Member.Read.Hidden" in self.roles

    def allow(self, path: tuple[str, ...]) -> bool:
        """Return whether anything under the path may be read; ``path`` as ``paths.read_path`` returns it."""
        match path:
            case ("users", *_) | (
                "directory",
                "deletedItems",
                "microsoft.graph.user" | "microsoft.graph.agentUser",
                *_,
            ):
                allowed = _USERS
            case ("applications", *_):
                allowed = _APPLICATIONS
            case ("groups", *_):
                allowed = _GROUPS
            case ("directory", "deletedItems", "microsoft.graph.group", *_):
                allowed = _GROUP_PROPERTIES
            case ("directory", *_):
                allowed = _USERS | _GROUP_PROPERTIES
            case _:
                allowed = _USERS | _GROUPS
        return bool(self.roles & allowed)

    def unseen(self, kind: str, names: Iterable[str]) -> frozenset[str]:
        """Return the properties among ``names`` that need a permission which the token does not carry."""
        schema = SCHEMAS.get(kind)
        if schema is None:
            return frozenset()
        found = ((name, schema.property(name)) for name in names)
        return frozenset(
            name for name, known in found if known and known.permission and known.permission not in self.roles
        )
