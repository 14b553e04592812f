"""What a reader of the tenant sees: objects, names and links, as they are now or as they were when a copy was taken."""

from __future__ import annotations

from collections.abc import Iterator

from syncd.errors import NotFound
from syncd.sandbox.tenant.objects import Group, Node, Relation


class View:
    """The objects of one tenant. ``users`` and ``groups`` hold those of every state, in order of creation."""

    def __init__(self) -> None:
        self.objects: dict[str, Node] = {}
        self.users: list[Node] = []
        self.groups: list[Group] = []
        self.extensions: dict[str, str] = {}
        """Names of directory extensions, by their form without case."""
        self._names: dict[str, str] = {}

    def copy(self) -> View:
        """Return everything as it is now, independent of what happens later."""
        copied = View()
        copied.objects = {object_id: node.copy() for object_id, node in self.objects.items()}
        copied.users = [copied.objects[user.id] for user in self.users]
        copied.groups = [group for group in copied.objects.values() if isinstance(group, Group)]
        copied.extensions = dict(self.extensions)
        copied._names = dict(self._names)
        return copied

    def get(self, object_id: str) -> Node:
        """Return an object in whatever state; raises NotFound."""
        node = self.objects.get(object_id)
        if node is None:
            raise NotFound(f"the tenant has no object {object_id}", status=404)
        return node

    def group(self, group_id: str) -> Group:
        """Return a group in whatever state; raises NotFound."""
        node = self.get(group_id)
        if not isinstance(node, Group):
            raise NotFound(f"object {group_id} is a {node.kind}, not a group", status=404)
        return node

    def find_user(self, name: str) -> Node:
        """Return the active user with that object id or user principal name (without case); raises NotFound."""
        node = self.objects.get(name.lower()) or self.objects.get(self._names.get(name.casefold(), ""))
        if node is None or node.kind != "user" or node.state != "active":
            raise NotFound(f"the tenant has no active user {name}", status=404)
        return node

    def find_group(self, display_name: str) -> Group:
        """Return the first active group with that display name; raises NotFound."""
        found = self.match_group(display_name)
        if found is None:
            raise NotFound(f"the tenant has no active group named {display_name}", status=404)
        return found

    def match_group(self, display_name: str) -> Group | None:
        """Return the first active group with that display name, None when there is none."""
        return next((each for each in self.active_groups() if each.properties.get("displayName") == display_name), None)

    def active_users(self) -> Iterator[Node]:
        """Yield the active users in order of creation."""
        return (user for user in self.users if user.state == "active")

    def active_groups(self) -> Iterator[Group]:
        """Yield the active groups in order of creation."""
        return (group for group in self.groups if group.state == "active")

    def active_links(self, group: Group, relation: Relation = "members") -> Iterator[Node]:
        """Yield the active objects that a group links to, oldest link first."""
        for object_id in group.links(relation):
            node = self.objects[object_id]
            if node.state == "active":
                yield node

    def groups_of(self, object_id: str, relation: Relation = "members") -> list[Group]:
        """Return the groups, active or deleted, of which the object is a direct member, or an owner."""
        return [group for group in self.groups if object_id in group.links(relation)]
