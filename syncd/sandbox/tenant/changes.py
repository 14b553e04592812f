"""The imitation tenant's primitive operations: what is created, changed, linked and deleted, and the log of it.

Operations take explicit ids, so that tests can tell a history. The log is what delta is made of (``delta``); the
objects as they stand are what lists are made of (``graph_lists``). What is not logged (a photo, a licence) is invisible
to delta, as in the real thing.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Mapping
from typing import Literal

from syncd.clock import Clock
from syncd.errors import Conflict, NotFound
from syncd.sandbox.tenant.objects import Change, Group, Node, Relation, Subtype, What
from syncd.sandbox.tenant.view import View
from syncd.sandbox.wire.knobs import TenantKnobs


class Changes(View):
    """One tenant that can be changed. Operations raise NotFound for an unknown id and Conflict for a taken name."""

    def __init__(self, *, clock: Clock, seed: int = 1, domain: str = "nordwind.example", knobs: TenantKnobs) -> None:
        super().__init__()
        self.clock = clock
        self.domain = domain
        self.knobs = knobs
        self.log: list[Change] = []
        self._random = random.Random(f"directory-{seed}")  # noqa: S311 - reproducible imitation, not a secret
        self._links = 0
        self._late: list[tuple[float, Change]] = []

    def forget(self) -> None:
        """Let this be an empty tenant."""
        self.objects, self.users, self.groups, self.extensions, self._names = {}, [], [], {}, {}
        self.log, self._late = [], []

    # ---- creating

    def new_id(self) -> str:
        """Return a fresh object id."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def place(self, node: Node) -> Node:
        """Put an object into the tenant without a log line: for building the company before anybody looks."""
        if node.id in self.objects:
            raise Conflict(f"the tenant already has an object {node.id}", status=409)
        if node.kind == "user":
            self._claim(str(node.properties.get("userPrincipalName", node.id)), node.id)
            self.users.append(node)
        elif isinstance(node, Group):
            self.groups.append(node)
        self.objects[node.id] = node
        self._note_extensions(node.properties)
        return node

    def place_links(self, group: Group, object_ids: Iterable[str], *, relation: Relation = "members") -> None:
        """Link objects without a log line: for building the company before anybody looks."""
        links, number = group.links(relation), self._links
        for object_id in object_ids:
            if object_id not in links:
                number += 1
                links[object_id] = number
        self._links = number

    def create_user(
        self, properties: Mapping[str, object], *, user_id: str | None = None, subtype: Subtype | None = None
    ) -> str:
        """Hire somebody: create a user, or an entity of a subtype of user, with those properties and return the id."""
        return self._create(Node(user_id or self.new_id(), "user", dict(properties), subtype=subtype))

    def create_group(
        self,
        properties: Mapping[str, object],
        *,
        group_id: str | None = None,
        members: Iterable[str] = (),
        owners: Iterable[str] = (),
    ) -> str:
        """Create a group (security group unless the properties say otherwise) and return the id."""
        base = {"securityEnabled": True, "mailEnabled": False, "groupTypes": []}
        created = self._create(Group(group_id or self.new_id(), "group", {**base, **properties}))
        for member in members:
            self.add_member(created, member)
        for owner in owners:
            self.add_owner(created, owner)
        return created

    def add_object(
        self,
        kind: Literal["device", "servicePrincipal", "orgContact"],
        display_name: str,
        *,
        subtype: Subtype | None = None,
    ) -> str:
        """Create an object that is neither user nor group (it can be a member) and return the id."""
        return self.place(Node(self.new_id(), kind, {"displayName": display_name}, subtype=subtype)).id

    # ---- changing

    def set_attributes(self, object_id: str, **values: object) -> None:
        """Set properties; None clears one. Only values that really change are logged."""
        node = self._alive(object_id)
        changed = {
            name: value
            for name, value in values.items()
            if (name in node.properties or value is not None) and node.properties.get(name) != value
        }
        if not changed:
            return
        if node.kind == "user" and "userPrincipalName" in changed:
            self._claim(str(changed["userPrincipalName"]), node.id)
            if str(changed["userPrincipalName"]).casefold() != str(node.properties.get("userPrincipalName")).casefold():
                self._release(node)
        node.properties.update(changed)
        node.rendered.clear()
        self._note_extensions(changed)
        self._write(node, "changed", fields=tuple(sorted(changed)))

    def set_manager(self, user_id: str, manager_id: str | None) -> None:
        """Set or clear a user's manager."""
        user = self._alive(user_id)
        if manager_id is not None:
            self.get(manager_id)
        if user.manager != manager_id:
            before, user.manager = user.manager, manager_id
            self._write(user, "manager", fields=("manager",), other=before)

    def add_member(self, group_id: str, object_id: str) -> None:
        """Make any object a direct member of a group; already a member is fine."""
        self._link(group_id, object_id, "members")

    def remove_member(self, group_id: str, object_id: str) -> None:
        """End a direct membership; not a member is fine."""
        self._unlink(group_id, object_id, "members")

    def add_owner(self, group_id: str, object_id: str) -> None:
        """Make an object an owner of a group; already an owner is fine."""
        self._link(group_id, object_id, "owners")

    def remove_owner(self, group_id: str, object_id: str) -> None:
        """End an ownership; not an owner is fine."""
        self._unlink(group_id, object_id, "owners")

    # ---- deleting

    def soft_delete(self, object_id: str) -> None:
        """Move a user or group to the deleted items: it keeps its links and can be restored.

        A deleted user's principal name gets the object id (32 hexadecimal digits) in front, which frees the name.
        """
        node = self._alive(object_id)
        if node.kind == "user":
            self._release(node)
            name = f"{node.id.replace('-', '')}{node.properties.get('userPrincipalName', '')}"
            node.properties["userPrincipalName"] = name
        node.state = "deleted"
        node.properties["deletedDateTime"] = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        node.rendered.clear()
        self._write(node, "removed")

    def restore(self, object_id: str) -> None:
        """Bring an object back from the deleted items, with its links. Raises Conflict when its name is taken."""
        node = self.get(object_id)
        if node.state != "deleted":
            raise Conflict(f"object {object_id} is {node.state}, not among the deleted items", status=409)
        if node.kind == "user":
            name = str(node.properties["userPrincipalName"])[32:]
            self._claim(name, node.id)
            node.properties["userPrincipalName"] = name
        node.state = "active"
        node.properties.pop("deletedDateTime", None)
        node.rendered.clear()
        self._write(node, "restored")
        if node.kind == "user" and self.knobs.restore_reports_links:
            for group in self.groups_of(object_id):
                self._write(group, "linked", fields=("members",), other=object_id)

    def hard_delete(self, object_id: str) -> None:
        """Remove an object for good, with all links to it; manager references to it are cleared.

        When the ended memberships become visible is ``TenantKnobs.purge_links_after``.
        """
        node = self.get(object_id)
        if node.state == "gone":
            raise NotFound(f"object {object_id} is gone already", status=404)
        if node.kind == "user" and node.state == "active":
            self._release(node)
        node.state, node.manager = "gone", None
        node.properties.clear()
        node.rendered.clear()
        if isinstance(node, Group):
            node.members.clear()
            node.owners.clear()
        self._write(node, "removed")
        for group in self.groups:
            for relation in ("members", "owners"):
                if group.links(relation).pop(object_id, None) is not None:
                    self._write_late(group, relation, object_id)
        for user in self.users:
            if user.manager == object_id:
                user.manager = None
                self._write(user, "manager", fields=("manager",), other=object_id)

    def settle(self) -> None:
        """Write the log lines whose time has come (links of purged objects are reported late)."""
        if self._late:
            now = self.clock.monotonic()
            due = [change for at, change in self._late if at <= now]
            self._late = [(at, change) for at, change in self._late if at > now]
            self.log.extend(due)

    # ---- inside

    def _note_extensions(self, names: Iterable[str]) -> None:
        """Remember how the names of directory extensions are spelt."""
        self.extensions.update((name.casefold(), name) for name in names if name.startswith("extension_"))

    def _create(self, node: Node) -> str:
        self.place(node)
        self._write(node, "created")
        return node.id

    def _alive(self, object_id: str) -> Node:
        node = self.get(object_id)
        if node.state != "active":
            raise NotFound(f"object {object_id} is {node.state}", status=404)
        return node

    def is_free(self, name: str) -> bool:
        """Return whether nobody has this principal name now."""
        return name.casefold() not in self._names

    def _claim(self, name: str, user_id: str) -> None:
        holder = self._names.setdefault(name.casefold(), user_id)
        if holder != user_id:
            raise Conflict(f"the user principal name {name} belongs to {holder}", status=409)

    def _release(self, node: Node) -> None:
        name = str(node.properties.get("userPrincipalName", node.id)).casefold()
        if self._names.get(name) == node.id:
            del self._names[name]

    def _link(self, group_id: str, object_id: str, relation: Relation) -> None:
        group = self._alive_group(group_id)
        self._alive(object_id)
        if object_id not in group.links(relation):
            self.place_links(group, (object_id,), relation=relation)
            group.former.pop(object_id, None)
            self._write(group, "linked", fields=(relation,), other=object_id)

    def _unlink(self, group_id: str, object_id: str, relation: Relation) -> None:
        group = self._alive_group(group_id)
        if group.links(relation).pop(object_id, None) is not None:
            if relation == "members":
                group.former[object_id] = None
            self._write(group, "unlinked", fields=(relation,), other=object_id)

    def _alive_group(self, group_id: str) -> Group:
        self._alive(group_id)
        return self.group(group_id)

    def _write(self, node: Node, what: What, *, fields: tuple[str, ...] = (), other: str | None = None) -> None:
        if node.kind in ("user", "group") and not (self.knobs.lose_links and what in ("linked", "unlinked")):
            stream: Literal["users", "groups"] = "users" if node.kind == "user" else "groups"
            self.log.append(Change(self.clock.monotonic(), stream, node.id, what, fields, other))

    def _write_late(self, group: Group, relation: Relation, object_id: str) -> None:
        lag = self.knobs.purge_links_after
        if lag is None:
            return
        due = self.clock.monotonic() + lag
        change = Change(due, "groups", group.id, "unlinked", (relation,), object_id)
        if lag > 0:
            self._late.append((due, change))
        else:
            self.log.append(change)
