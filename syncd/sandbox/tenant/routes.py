"""Which list a path names: whose objects, of which entity type, seen by which kind of read.

A path is given as ``paths.read_path`` returns it. Behind every list may stand a cast to an entity type, which a subtype
fits as well ("members/microsoft.graph.user" holds agents too).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from syncd.clock import Clock
from syncd.errors import NotFound
from syncd.sandbox.tenant.objects import Group, Node, State
from syncd.sandbox.tenant.odata import refuse, refuse_missing
from syncd.sandbox.tenant.paths import cast_of
from syncd.sandbox.tenant.replicas import Read
from syncd.sandbox.tenant.rights import Rights
from syncd.sandbox.tenant.view import View
from syncd.sandbox.wire.knobs import TenantKnobs

Fits = Callable[[Node], bool]


@dataclass(frozen=True, slots=True)
class Collection:
    """One list. ``declared`` is the entity type of its entries, directoryObject where they may be of several.

    ``collect`` finds the objects (of any state; those of ``state`` count), ``listed`` and ``counted`` choose which of
    them a list shows and a count counts. ``limited``: objects that the token may not read show type and id only.
    """

    route: str
    declared: str
    read: Read
    collect: Callable[[View], Sequence[Node]]
    state: State = "active"
    listed: Fits = lambda _: True
    counted: Fits = lambda _: True
    limited: bool = False


class Routes:
    """Finds lists by their paths."""

    def __init__(self, knobs: TenantKnobs, clock: Clock) -> None:
        self._knobs = knobs
        self._clock = clock

    def find(self, path: tuple[str, ...], rights: Rights) -> Collection | None:
        """Return the list that a path names, None when it names none. Raises Refusal for an unsupported cast.

        An object in the path that does not exist is refused when the objects are collected.
        """
        cast = cast_of(path[-1]) if path else None
        if path[:2] == ("directory", "deletedItems") and len(path) == 3 and cast is not None:
            return self._deleted(path[2], cast)
        if cast is None:
            return self._find(path, rights)
        found = self._find(path[:-1], rights)
        if found is None:
            return None
        return self._cast(found, path[-1], cast)

    def _find(self, path: tuple[str, ...], rights: Rights) -> Collection | None:
        knobs = self._knobs
        match path:
            case ("users",):
                return Collection(
                    "users",
                    "user",
                    "lists",
                    lambda view: view.users,
                    listed=lambda node: node.subtype is None or knobs.subtypes_listed,
                    counted=lambda node: node.subtype is None or knobs.subtypes_counted,
                )
            case ("groups",):
                return Collection("groups", "group", "lists", lambda view: view.groups)
            case ("users" | "groups" as kinds, name, ("memberOf" | "transitiveMemberOf") as relation):
                return self._linked(f"{kinds}/{{id}}/{relation}", lambda view: self._above(view, path, rights))
            case ("users", name, "ownedObjects"):
                return self._linked("users/{id}/ownedObjects", lambda view: self._owned(view, name))
            case ("users", name, "directReports"):
                return self._linked("users/{id}/directReports", lambda view: self._reports(view, name))
            case ("groups", group_id, ("members" | "owners" | "transitiveMembers") as relation):
                return replace(
                    self._linked(
                        f"groups/{{id}}/{relation}", lambda view: self._members(view, group_id, relation, rights)
                    ),
                    listed=lambda node: node.kind != "servicePrincipal" or not knobs.members_omit_service_principals,
                    limited=True,
                )
        return None

    def _linked(self, route: str, collect: Callable[[View], Sequence[Node]]) -> Collection:
        return Collection(route, "directoryObject", "links", collect)

    def _deleted(self, segment: str, cast: str) -> Collection:
        name = self._known(segment, cast)

        def collect(view: View) -> Sequence[Node]:
            every: tuple[Node, ...] = (*view.users, *view.groups)
            return [node for node in every if node.state == "deleted" and name in (node.kind, node.subtype)]

        return Collection(f"directory/deletedItems/microsoft.graph.{name}", name, "lists", collect, state="deleted")

    def _cast(self, found: Collection, segment: str, cast: str) -> Collection:
        name = self._known(segment, cast)

        def fits(node: Node) -> bool:
            return name in (node.kind, node.subtype)

        return replace(
            found,
            declared=name,
            listed=lambda node: found.listed(node) and fits(node),
            counted=lambda node: found.counted(node) and fits(node),
        )

    def _known(self, segment: str, cast: str) -> str:
        if not cast:
            raise refuse(self._clock, 400, "Request_UnsupportedQuery", f"Unsupported cast: {segment}.")
        return cast

    # ---- whose objects

    def user(self, view: View, name: str) -> Node:
        """Return the active user of that id or principal name. Raises Refusal."""
        try:
            return view.find_user(name)
        except NotFound as error:
            raise refuse_missing(self._clock, name) from error

    def group(self, view: View, group_id: str) -> Group:
        """Return the active group of that id. Raises Refusal."""
        node = view.objects.get(group_id.lower())
        if not isinstance(node, Group) or node.state != "active":
            raise refuse_missing(self._clock, group_id)
        return node

    def _above(self, view: View, path: tuple[str, ...], rights: Rights) -> Sequence[Node]:
        """Return the active groups above a user or group; those that hide their members show to some only."""
        kinds, name, relation = path
        start = self.user(view, name) if kinds == "users" else self.group(view, name)
        found: dict[str, Node] = {}
        waiting = [start]
        while waiting:
            for group in view.groups_of(waiting.pop().id):
                if group.state == "active" and group.id not in found:
                    found[group.id] = group
                    if relation == "transitiveMemberOf":
                        waiting.append(group)
        return [node for node in found.values() if rights.hidden_members or not node.hides_members]

    def _owned(self, view: View, name: str) -> Sequence[Node]:
        owner = self.user(view, name)
        return [group for group in view.groups_of(owner.id, "owners") if group.state == "active"]

    def _reports(self, view: View, name: str) -> Sequence[Node]:
        manager = self.user(view, name)
        return [user for user in view.active_users() if user.manager == manager.id]

    def _members(self, view: View, group_id: str, relation: str, rights: Rights) -> Sequence[Node]:
        group = self.group(view, group_id)
        if relation == "owners":
            return list(view.active_links(group, "owners"))
        if group.hides_members and not rights.hidden_members:
            if self._knobs.hidden_membership == "forbidden":
                raise refuse(
                    self._clock,
                    403,
                    "Authorization_RequestDenied",
                    "Insufficient privileges to complete the operation.",
                )
            return []
        if relation == "members":
            return list(view.active_links(group))
        found: dict[str, Node] = {}
        waiting = [group]
        while waiting:
            for node in view.active_links(waiting.pop()):
                if node.id not in found:
                    found[node.id] = node
                    if isinstance(node, Group):
                        waiting.append(node)
        return list(found.values())
