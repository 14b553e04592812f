"""A small tenant behind the Source port. It keeps Graph's manners: repeats, splits, replays, links only as changes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, get_args

from syncd.errors import Forbidden, ProtocolError, Rejected, RemoteError, ResyncRequired
from syncd.model.credential import SecretEnd
from syncd.model.kinds import RecordKind
from syncd.model.listing import IdPage, ListAnswer, Listed, ListPage, ListRequest
from syncd.model.source import KIND, BadObject, GroupItem, Link, ManagerSet, Page, Role, Stream, UserItem, Value

Read = Literal["lists", "links", "singles", "counts"]
READS: tuple[Read, ...] = get_args(Read)


@dataclass
class FakeUser:
    """One user of the fake tenant."""

    attributes: dict[str, Value]
    manager: str | None = None
    state: str = "active"


@dataclass
class FakeGroup:
    """One group of the fake tenant, with its direct members by id and kind."""

    attributes: dict[str, Value]
    members: dict[str, str] = field(default_factory=dict)
    state: str = "active"
    owners: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeSource:
    """Answers pages from a log of events. ``rng`` shuffles and repeats, ``page_size`` cuts, ``lists`` exist.

    ``no_counts``: what every count is refused with. Lists may leave agents out (``unlisted_agents``), and counts
    (``uncounted_agents``), or not count them alone (``counts_agents``). ``bad``: objects that no reading understands.
    """

    rng: random.Random = field(default_factory=lambda: random.Random(1))
    page_size: int = 3
    repeat: bool = False
    users: dict[str, FakeUser] = field(default_factory=dict)
    groups: dict[str, FakeGroup] = field(default_factory=dict)
    log: dict[Stream, list[UserItem | GroupItem]] = field(default_factory=lambda: {"users": [], "groups": []})
    rounds: dict[str, list[UserItem | GroupItem]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    count_lie: int = 0
    no_counts: RemoteError | None = None
    unlisted_agents: bool = False
    uncounted_agents: bool = False
    counts_agents: bool = True
    bad: dict[str, BadObject] = field(default_factory=dict)
    member_count_lies: dict[str, int] = field(default_factory=dict)
    hiding: set[str] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)
    losing_links: bool = False
    dead: bool = False
    calls: list[str] = field(default_factory=list)
    tracks_owners: bool = False
    secret_end: SecretEnd | RemoteError | None = None
    looked_for_secret: int = 0
    unreadable: dict[Stream, str] = field(default_factory=dict)
    lists: bool = True
    selected: tuple[str, ...] = ()
    tenant: str = "contoso.example"
    tenant_id: str = "11111111-2222-4333-8444-555555555555"
    _serial: int = 0
    _frozen: dict[Read, tuple[dict[str, FakeUser], dict[str, FakeGroup]]] = field(default_factory=dict)

    # ---- replicas that are behind -----------------------------------------------------------------------------------

    def freeze(self, *reads: Read) -> None:
        """Let these reads (without any: all of them) go on answering what is true now; delta never does."""
        copied = deepcopy((self.users, self.groups))
        self._frozen.update(dict.fromkeys(reads or READS, copied))

    def thaw(self) -> None:
        """Let all reads answer the truth again."""
        self._frozen.clear()

    def _see(self, read: Read) -> tuple[dict[str, FakeUser], dict[str, FakeGroup]]:
        return self._frozen.get(read, (self.users, self.groups))

    async def identify_tenant(self) -> str:
        """Return the id of the tenant."""
        return self.tenant_id

    async def find_unreadable(self, stream: Stream) -> str:
        """Return why a full read may not be believed, as the test says."""
        return self.unreadable.get(stream, "")

    # ---- events -----------------------------------------------------------------------------------------------------

    def put_user(self, user_id: str, *, manager: str | None = None, **attributes: Value) -> None:
        """Create or change a user; None clears an attribute."""
        user = self.users.setdefault(user_id, FakeUser({}))
        user.state = "active"
        user.attributes.update(attributes)
        stated: ManagerSet | None = None
        if manager is not None:
            user.manager = manager or None
            stated = ManagerSet(user.manager)
        self.log["users"].append(UserItem(id=user_id, attributes=dict(user.attributes), manager=stated))

    def remove_user(self, user_id: str, *, hard: bool = False) -> None:
        """Delete a user softly, or for good (then its memberships go, and the groups stream may never say so)."""
        user = self.users[user_id]
        user.state = "deleted" if hard else "soft_deleted"
        self.log["users"].append(UserItem(id=user_id, attributes={}, removed="deleted" if hard else "changed"))
        if hard:
            for group in self.groups.values():
                group.members.pop(user_id, None)
                group.owners.pop(user_id, None)

    def restore_user(self, user_id: str) -> None:
        """Bring a soft-deleted user back: it shows up as newly created, without membership events."""
        user = self.users[user_id]
        user.state = "active"
        self.log["users"].append(
            UserItem(id=user_id, attributes=dict(user.attributes), manager=ManagerSet(user.manager))
        )

    def put_group(self, group_id: str, **attributes: Value) -> None:
        """Create or change a group."""
        group = self.groups.setdefault(group_id, FakeGroup({}))
        group.state = "active"
        group.attributes.update(attributes)
        self.log["groups"].append(GroupItem(id=group_id, attributes=dict(group.attributes)))

    def remove_group(self, group_id: str) -> None:
        """Delete a group softly."""
        self.groups[group_id].state = "soft_deleted"
        self.log["groups"].append(GroupItem(id=group_id, attributes={}, removed="changed"))

    def link(self, group_id: str, member_id: str, kind: str = "user") -> None:
        """Add a member."""
        group = self.groups[group_id]
        group.members[member_id] = kind
        if not self.losing_links:
            self.log["groups"].append(
                GroupItem(id=group_id, attributes=dict(group.attributes), links=(Link(member_id, kind),))
            )

    def unlink(self, group_id: str, member_id: str) -> None:
        """Remove a member."""
        group = self.groups[group_id]
        kind = group.members.pop(member_id, "user")
        if not self.losing_links:
            gone = Link(member_id, kind, removed=True)
            self.log["groups"].append(GroupItem(id=group_id, attributes=dict(group.attributes), links=(gone,)))

    def own(self, group_id: str, owner_id: str, kind: str = "user") -> None:
        """Add an owner."""
        group = self.groups[group_id]
        group.owners[owner_id] = kind
        self.log["groups"].append(
            GroupItem(id=group_id, attributes=dict(group.attributes), owners=(Link(owner_id, kind),))
        )

    def disown(self, group_id: str, owner_id: str) -> None:
        """Remove an owner."""
        group = self.groups[group_id]
        link = Link(owner_id, group.owners.pop(owner_id, "user"), removed=True)
        self.log["groups"].append(GroupItem(id=group_id, attributes=dict(group.attributes), owners=(link,)))

    # ---- the port ---------------------------------------------------------------------------------------------------

    async def find_secret_end(self, *, now: datetime) -> SecretEnd | None:
        """Return what was prepared, or raise it."""
        self.looked_for_secret += 1
        if isinstance(self.secret_end, RemoteError):
            raise self.secret_end
        return self.secret_end

    def fingerprint(self, stream: Stream) -> str:
        """Return what names the selection: with the owners of groups or without."""
        return f"fake-{stream}{'-owners' if self.tracks_owners and stream == 'groups' else ''}"

    def list_selected(self, stream: Stream) -> tuple[str, ...]:
        """Return what a test says that rules look at."""
        return self.selected

    async def fetch_page(self, stream: Stream, link: str | None) -> Page:
        """Return a page of a baseline (no link), of an increment (d:…) or of a round under way (n:…)."""
        self.calls.append(f"{stream} {(link or 'start')[:2]}")
        if link is not None and self.dead and link.startswith("d:"):
            raise ResyncRequired("the token is too old", status=410)
        if link is None or link.startswith("d:"):
            items = self._snapshot(stream) if link is None else self._since(stream, int(link[2:]))
            name = f"n:{stream}:{self._serial}"
            self._serial += 1
            self.rounds[name] = items
            return self._cut(stream, name, 0, len(self.log[stream]))
        _n, start, position = link.rsplit("|", 2)
        return self._cut(stream, _n, int(start), int(position))

    def _cut(self, stream: Stream, name: str, start: int, position: int) -> Page:
        items = self.rounds[name]
        end = start + self.page_size
        more = end < len(items)
        return Page(
            items=tuple(
                item if self.tracks_owners or isinstance(item, UserItem) else replace(item, owners=())
                for item in items[start:end]
                if item.removed or item.id not in self.bad
            ),
            bad=tuple(self.bad[item.id] for item in items[start:end] if not item.removed and item.id in self.bad),
            next_link=f"{name}|{end}|{position}" if more else None,
            delta_link=None if more else f"d:{position}",
        )

    def _since(self, stream: Stream, position: int) -> list[UserItem | GroupItem]:
        start = max(0, position - self.rng.randrange(4)) if self.repeat else position
        return list(self.log[stream][start:])

    def _snapshot(self, stream: Stream) -> list[UserItem | GroupItem]:
        items: list[UserItem | GroupItem] = []
        if stream == "users":
            for user_id, user in self.users.items():
                if user.state == "active" and user_id not in self.hidden:
                    items.append(
                        UserItem(id=user_id, attributes=dict(user.attributes), manager=ManagerSet(user.manager))
                    )
        else:
            for group_id, group in self.groups.items():
                if group.state != "active" or group_id in self.hidden:
                    continue
                links = [Link(m, kind) for m, kind in group.members.items() if f"{group_id}/{m}" not in self.hidden]
                items.extend(
                    GroupItem(id=group_id, attributes=dict(group.attributes), links=tuple(links[start : start + 2]))
                    for start in range(0, max(len(links), 1), 2)
                )
                shown = [Link(o, kind) for o, kind in group.owners.items() if f"{group_id}/{o}" not in self.hidden]
                if shown:
                    items.append(GroupItem(id=group_id, attributes=dict(group.attributes), owners=tuple(shown)))
        if self.repeat:
            items += self.rng.sample(items, k=min(2, len(items)))
            self.rng.shuffle(items)
        return items

    # ---- lists ------------------------------------------------------------------------------------------------------

    async def fetch_latest(self, stream: Stream) -> str:
        """Return where a stream stands."""
        self.calls.append(f"{stream} latest")
        if not self.lists:
            raise Rejected("there is no such option here", status=400)
        return f"d:{len(self.log[stream])}"

    async def fetch_list(self, stream: Stream, link: str | None) -> ListPage:
        """Return a page of what exists now; pages are offsets, so that they shift."""
        self.calls.append(f"{stream} list")
        ids, next_link = self._cut_list(self._exist(stream), link)
        bad = tuple(self.bad[each] for each in ids if each in self.bad)
        return ListPage(tuple(self._show(stream, each) for each in ids if each not in self.bad), bad, next_link)

    async def fetch_ids(self, stream: Stream, link: str | None) -> IdPage:
        """Return a page of their ids."""
        self.calls.append(f"{stream} ids")
        ids, next_link = self._cut_list(self._exist(stream), link)
        return IdPage(tuple(ids), next_link)

    def note_users(self, count: int) -> None:
        """Hear of the size of the tenant."""
        self.calls.append(f"users {count}")

    @property
    def at_once(self) -> int:
        """How many requests may be under way together."""
        return 8

    async def fetch_lists(self, requests: Sequence[ListRequest]) -> tuple[ListAnswer, ...]:
        """Return a page of each list, of at most twenty."""
        assert len(requests) <= 20
        return tuple([await self._answer(request) for request in requests])

    async def _answer(self, request: ListRequest) -> ListAnswer:
        self.calls.append(f"list {request.owner_id}/{request.relation}")
        users, groups = self._see("links")
        owner = (users if request.owner_is_user else groups).get(request.owner_id)
        if owner is None or owner.state != "active":
            return ListAnswer(request=request, state="missing")
        if request.relation == "directReports":
            ids = [key for key, user in users.items() if user.state == "active" and user.manager == request.owner_id]
        elif request.relation == "memberOf":
            ids = [
                key
                for key, group in groups.items()
                if group.state == "active" and request.owner_id in group.members and key not in self.hiding
            ]
        elif request.relation == "ownedObjects":
            ids = sorted(self._owned_by(request.owner_id))
        elif request.relation == "owners":
            assert self.tracks_owners, "owners were asked for although they are not synchronised"
            owners = groups[request.owner_id].owners
            ids = [o for o, kind in owners.items() if self._is_listed(o, kind)]
            ids = [o for o in ids if f"{request.owner_id}/{o}" not in self.hidden]
        elif request.owner_id in self.hiding:
            return ListAnswer(request=request, state="hidden")
        else:
            members = groups[request.owner_id].members
            ids = [m for m, kind in members.items() if self._is_listed(m, kind)]
            ids = [m for m in ids if f"{request.owner_id}/{m}" not in self.hidden]
        page, next_link = self._cut_list(ids, request.link)
        return ListAnswer(request=request, ids=page, next_link=next_link)

    def _cut_list(self, ids: list[str], link: str | None) -> tuple[list[str], str | None]:
        start = int(link or 0)
        end = start + self.page_size
        return ids[start:end], f"{end}" if end < len(ids) else None

    def _exist(self, stream: Stream) -> list[str]:
        objects: Mapping[str, FakeUser | FakeGroup] = self._see("lists")[0 if stream == "users" else 1]
        return [
            key
            for key, each in objects.items()
            if each.state == "active" and key not in self.hidden and not (self.unlisted_agents and _is_agent(each))
        ]

    def _show(self, stream: Stream, object_id: str) -> Listed:
        users, groups = self._see("lists")
        found = (users if stream == "users" else groups)[object_id]
        values = {name: value for name, value in sorted(found.attributes.items()) if value is not None}
        manager = found.manager if isinstance(found, FakeUser) else None
        if manager in users and users[manager].state != "active":
            manager = None
        name, upn = values.get("displayName"), values.get("userPrincipalName")
        return Listed(id=object_id, name=name, upn=upn, attributes=values, manager_id=manager)  # type: ignore[arg-type]

    async def fetch_count(self, stream: Stream) -> int:
        """Return the number of active objects, or a lie."""
        self.calls.append(f"{stream} $count")
        if self.no_counts is not None:
            raise self.no_counts
        objects: Mapping[str, FakeUser | FakeGroup] = self._see("counts")[0 if stream == "users" else 1]
        uncounted = sum(map(_is_agent, objects.values())) if self.uncounted_agents else 0
        return sum(1 for item in objects.values() if item.state == "active") + self.count_lie - uncounted

    async def fetch_agent_count(self) -> int | None:
        """Return how many agents there are, where they are counted by themselves."""
        self.calls.append("agents $count")
        if self.no_counts is not None or not self.counts_agents:
            return None
        users = self._see("counts")[0].values()
        return sum(1 for user in users if user.state == "active" and _is_agent(user))

    async def fetch_user(self, user_id: str) -> UserItem | None:
        """Read one user."""
        self.calls.append(f"user {user_id}")
        user = self._see("singles")[0].get(user_id)
        if user is None or user.state != "active":
            return None
        if user_id in self.bad:
            raise ProtocolError("an unreadable user")
        return UserItem(id=user_id, attributes=dict(user.attributes), manager=ManagerSet(user.manager))

    async def fetch_group(self, group_id: str) -> GroupItem | None:
        """Read one group."""
        self.calls.append(f"group {group_id}")
        group = self._see("singles")[1].get(group_id)
        if group is None or group.state != "active":
            return None
        if group_id in self.bad:
            raise ProtocolError("an unreadable group")
        return GroupItem(id=group_id, attributes=dict(group.attributes))

    async def fetch_existing(self, stream: Stream, ids: Sequence[str]) -> frozenset[str]:
        """Return which ids a direct read finds."""
        objects: Mapping[str, FakeUser | FakeGroup] = self._see("singles")[0 if stream == "users" else 1]
        return frozenset(i for i in ids if i in objects and objects[i].state == "active")

    async def fetch_members(self, group_id: str) -> tuple[Link, ...] | None:
        """Read a group's members, as far as they exist and the group shows them."""
        self.calls.append(f"members {group_id}")
        group = self._see("links")[1].get(group_id)
        if group is None or group.state != "active":
            return None
        if group_id in self.hiding:
            raise Forbidden("no right to read hidden memberships", status=403)
        return tuple(
            Link(member, kind)
            for member, kind in group.members.items()
            if f"{group_id}/{member}" not in self.unlisted and self._is_listed(member, kind)
        )

    async def fetch_owners(self, group_id: str) -> tuple[Link, ...] | None:
        """Read a group's owners; nobody may ask when they are not tracked."""
        assert self.tracks_owners, "owners were asked for although they are not synchronised"
        self.calls.append(f"owners {group_id}")
        group = self._see("links")[1].get(group_id)
        if group is None or group.state != "active":
            return None
        return tuple(Link(owner, kind) for owner, kind in group.owners.items() if self._is_listed(owner, kind))

    def _owned_by(self, user_id: str) -> set[str]:
        assert self.tracks_owners, "owners were asked for although they are not synchronised"
        groups = self._see("links")[1]
        return {key for key, group in groups.items() if group.state == "active" and user_id in group.owners}

    def _is_listed(self, member: str, kind: str) -> bool:
        """Tell whether a list shows the object: neither a deleted one nor, in v1.0, a service principal."""
        users, groups = self._see("links")
        known = users.get(member) if kind == "user" else groups.get(member) if kind == "group" else None
        return kind != "servicePrincipal" and (known is None or known.state == "active")

    # ---- single objects and counts ----------------------------------------------------------------------------------

    async def fetch_member_count(self, group_id: str, *, kind: RecordKind | None = None) -> int | None:
        """Count a group's members, of every type or of one, that exist, or lie."""
        self.calls.append(f"members {group_id} {kind or ''}$count")
        if self.no_counts is not None:
            raise self.no_counts
        group = self._see("counts")[1].get(group_id)
        if group is None or group.state != "active":
            return None
        shown = [
            member
            for member, its in group.members.items()
            if its == "servicePrincipal" or self._is_listed(member, its)
            if kind in (None, its)
        ]
        lie = 0 if kind == "group" else self.member_count_lies.get(group_id, 0)
        return max(0, (0 if group_id in self.hiding else len(shown)) + lie)

    async def find_user(self, name: str) -> UserItem | None:
        """Read one user by id or by UPN without case."""
        self.calls.append(f"user {name}")
        for user_id, user in self._see("singles")[0].items():
            if user.state == "active" and str(user.attributes.get("userPrincipalName")).lower() == name.lower():
                return await self.fetch_user(user_id)
        return await self.fetch_user(name.lower())

    async def find_groups(self, name: str) -> frozenset[str]:
        """Return the groups of that id or name."""
        self.calls.append(f"group {name}")
        active = {key: group for key, group in self._see("singles")[1].items() if group.state == "active"}
        if name.lower() in active:
            return frozenset({name.lower()})
        return frozenset(
            key for key, group in active.items() if str(group.attributes.get("displayName")).lower() == name.lower()
        )

    async def fetch_groups_of(self, user_id: str, *, role: Role = "members") -> frozenset[str] | None:
        """Return the groups of a user, without those that hide their members, or those that a user owns."""
        self.calls.append(f"groups of {user_id}" if role == "members" else f"owned by {user_id}")
        users, groups = self._see("links")
        if user_id not in users or users[user_id].state != "active":
            return None
        if role == "owners":
            return frozenset(self._owned_by(user_id))
        return frozenset(
            key
            for key, group in groups.items()
            if group.state == "active"
            and user_id in group.members
            and key not in self.hiding
            and f"{key}/{user_id}" not in self.unlisted
        )

    async def is_deleted(self, stream: Stream, object_id: str) -> bool | None:
        """Look among the deleted items; of groups we have no right to know."""
        if stream == "groups":
            return None
        users = self._see("singles")[0]
        return object_id in users and users[object_id].state == "soft_deleted"


def _is_agent(each: FakeUser | FakeGroup) -> bool:
    return bool(each.attributes.get(KIND) or each.attributes.get("identityParentId"))
