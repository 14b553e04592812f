"""Graph without delta: lists with paging, single objects, members and owners, counts, deleted items, getByIds.

Pages are 100 objects unless ``$top`` says otherwise, 999 at most; a page link lives minutes, not days. Unset properties
are null here, while delta leaves them out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from syncd.errors import NotFound
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.objects import Group, Node, Relation
from syncd.sandbox.tenant.odata import JSON_TYPE, Selection, encode_inner, encode_limited, parse_select, refuse
from syncd.sandbox.tenant.queries import Query, matches_filter
from syncd.sandbox.wire.http import Answer, Refusal, Request
from syncd.sandbox.wire.ledger import Ledger
from syncd.sandbox.wire.tokens import Seal, encode_for_link

_EXPAND_LIMIT = 20
_GET_BY_IDS_LIMIT = 1000


class PageToken(msgspec.Struct, frozen=True, array_like=True):
    """What a list's nextLink carries: the list (as its path), where to go on, and its birth (epoch seconds)."""

    path: str
    options: str
    position: int
    issued: float


class Lists:
    """Answers everything that is not delta. ``readable`` says which kinds the application's permissions reveal."""

    def __init__(self, directory: Directory, *, seal: Seal, ledger: Ledger, graph_url: Callable[[], str]) -> None:
        self._ledger = ledger
        self._directory = directory
        self._knobs = directory.knobs
        self._clock = directory.clock
        self._seal = seal
        self._url = graph_url

    def answer(
        self, request: Request, query: Query, segments: tuple[str, ...], *, readable: Mapping[str, bool]
    ) -> Answer:
        """Answer one GET (or getByIds) request; ``segments`` is the path behind the version. Raises Refusal."""
        directory = self._directory
        match segments:
            case ("users" | "groups" as kinds,):
                nodes: Sequence[Node] = directory.users if kinds == "users" else directory.groups
                return self._list(request, query, nodes, kind=kinds[:-1], route=kinds)
            case ("users" | "groups" as kinds, "$count"):
                alive: Iterable[Node] = directory.active_users() if kinds == "users" else directory.active_groups()
                return self._count(request, query, alive, route=f"{kinds}/$count")
            case ("users", name):
                return self._single(query, self._user(name), route="users/{id}")
            case ("users", name, "manager"):
                return self._manager(query, self._user(name))
            case ("users", name, "memberOf"):
                return self._list_above(
                    request, query, self._user(name), readable=readable, route="users/{id}/memberOf"
                )
            case ("groups", name, "memberOf"):
                above = self._group(name)
                return self._list_above(request, query, above, readable=readable, route="groups/{id}/memberOf")
            case ("users", name, "ownedObjects"):
                owned = [
                    group for group in directory.groups_of(self._user(name).id, "owners") if group.state == "active"
                ]
                return self._list(request, query, owned, kind="group", typed=True, route="users/{id}/ownedObjects")
            case ("users", name, "directReports"):
                manager = self._user(name).id
                reports = [user for user in directory.active_users() if user.manager == manager]
                return self._list(request, query, reports, kind="user", typed=True, route="users/{id}/directReports")
            case ("users", name, "photo", *_):
                self._user(name)
                raise refuse(
                    self._clock, 404, "ImageNotFound", "Exception of type 'ImageNotFoundException' was thrown."
                )
            case ("groups", group_id):
                return self._single(query, self._group(group_id), route="groups/{id}")
            case ("groups", group_id, "members" | "owners" | "transitiveMembers" as relation, *rest):
                return self._linked(request, query, self._group(group_id), relation, rest, readable=readable)
            case ("directory", "deletedItems", ("microsoft.graph.user" | "microsoft.graph.group") as cast, *rest):
                return self._deleted(request, query, cast.rpartition(".")[2], rest)
            case ("directory", "deletedItems", object_id):
                return self._deleted_single(query, object_id)
            case ("directoryObjects", "getByIds"):
                return self._get_by_ids(request, query, readable=readable)
            case ("organization",):
                document = {"value": [{"displayName": "Nordwind", "verifiedDomains": [{"name": directory.domain}]}]}
                return Answer(200, msgspec.json.encode(document), JSON_TYPE, route="organization")
        raise refuse(self._clock, 400, "BadRequest", f"Resource not found for the segment '{segments[-1]}'.")

    # ---- lists

    def _list_above(
        self, request: Request, query: Query, node: Node, *, readable: Mapping[str, bool], route: str
    ) -> Answer:
        groups = [
            group
            for group in self._directory.groups_of(node.id)
            if group.state == "active" and (readable["hidden"] or not _hides_members(group))
        ]
        return self._list(request, query, groups, kind="group", typed=True, route=route)

    def _list(
        self,
        request: Request,
        query: Query,
        nodes: Sequence[Node],
        *,
        kind: str,
        route: str,
        typed: bool = False,
        state: str = "active",
        readable: Mapping[str, bool] | None = None,
    ) -> Answer:
        """Return one page; a nextLink carries the position and repeats the other query options."""
        clock = self._clock
        selection = parse_select(kind, query.select, delta=False, clock=clock)
        limit = 500 if query.select is not None and "signInActivity" in query.select else 999
        size = 100 if query.top is None else query.top
        if not 0 < size <= limit:
            raise refuse(
                clock,
                400,
                "Request_UnsupportedQuery",
                f"Invalid page size specified: '{size}'. Must be between 1 and {limit} inclusive.",
            )
        if query.filter and query.skip_token is None and nodes:
            matches_filter(nodes[0], query.filter, clock=clock)
        position = self._open(request, query)
        size = min(size, self._knobs.list_page_objects or size)
        chosen, position = self._slice(nodes, position, size, state=state, text=query.filter)
        more = position < len(nodes) if not self._knobs.page_drift else len(chosen) == size
        link = ""
        if more:
            kept = _without_token(request)
            token = self._seal.close(PageToken(request.path, "&".join(kept), position, clock.now().timestamp()))
            options = "&".join([*kept, f"$skiptoken={encode_for_link(token)}"])
            link = f'"@odata.nextLink":"{self._url()}{request.target.partition("?")[0]}?{options}",'
        counted = ""
        if (
            query.count
            and query.skip_token is None
            and request.headers.get("consistencylevel", "").lower() == "eventual"
        ):
            total = sum(node.state == state for node in nodes) + self._knobs.count_offset
            counted = f'"@odata.count":{total},'
        entries = [self._encode(node, selection, query, typed=typed, readable=readable) for node in chosen]
        context = f'"@odata.context":"{self._url()}/v1.0/$metadata#{route}",'
        head = (context + counted + link).encode()
        return Answer(200, b'{%b"value":[%b]}' % (head, b",".join(entries)), JSON_TYPE, route=route)

    def _slice(
        self, nodes: Sequence[Node], position: int, size: int, *, state: str, text: str | None
    ) -> tuple[list[Node], int]:
        clock = self._clock
        chosen: list[Node] = []
        if self._knobs.page_drift:
            nodes = [node for node in nodes if node.state == state]
        while position < len(nodes) and len(chosen) < size:
            node = nodes[position]
            position += 1
            if node.state == state and (not text or matches_filter(node, text, clock=clock)):
                chosen.append(node)
        return chosen, position

    def _open(self, request: Request, query: Query) -> int:
        if query.skip_token is None:
            return 0
        token = self._seal.open(query.skip_token, PageToken)
        if token is None or token.path != request.path or token.options != "&".join(_without_token(request)):
            self._ledger.violate("altered-link", side="graph", detail=request.target)
            raise refuse(self._clock, 400, "BadRequest", "Skip token is invalid.")
        if self._clock.now().timestamp() - token.issued > self._knobs.page_token_lifetime:
            raise refuse(
                self._clock,
                400,
                "Directory_ExpiredPageToken",
                "The specified page token value has expired and can no longer be included in your request.",
            )
        return token.position

    def _encode(
        self,
        node: Node,
        selection: Selection,
        query: Query,
        *,
        typed: bool = False,
        readable: Mapping[str, bool] | None = None,
    ) -> bytes:
        if readable is not None and not readable.get(node.kind, True):
            inner = encode_limited(node, selection.properties)
        else:
            inner = encode_inner(node, selection.properties, omit_unset=node.kind not in ("user", "group"))
        prefix = f'"@odata.type":"#microsoft.graph.{node.kind}",'.encode() if typed else b""
        return b"{%b%b%b}" % (prefix, inner, self._expanded(node, query.expand))

    def _expanded(self, node: Node, expand: str | None) -> bytes:
        """Return ``$expand=manager`` of a user, or the first 20 members (no more, and no link) of a group."""
        if not expand:
            return b""
        name = re.split(r"[(,]", expand)[0].strip()
        if name == "manager" and node.kind == "user":
            manager = self._directory.objects.get(node.manager or "")
            if manager is None or manager.state != "active":
                return b""
            return b',"manager":{"@odata.type":"#microsoft.graph.%b","id":"%b"}' % (
                manager.kind.encode(),
                manager.id.encode(),
            )
        if name in ("members", "owners") and isinstance(node, Group):
            relation: Relation = "owners" if name == "owners" else "members"
            linked = [
                f'{{"@odata.type":"#microsoft.graph.{other.kind}","id":"{other.id}"}}'
                for other in list(self._directory.active_links(node, relation))[:_EXPAND_LIMIT]
            ]
            return f',"{name}":[{",".join(linked)}]'.encode()
        raise refuse(
            self._clock,
            400,
            "BadRequest",
            f"Parsing OData Select and Expand failed: Could not find a property named '{name}' on type "
            f"'microsoft.graph.{node.kind}'.",
        )

    def _linked(
        self,
        request: Request,
        query: Query,
        group: Group,
        relation: str,
        rest: Sequence[str],
        *,
        readable: Mapping[str, bool],
    ) -> Answer:
        nodes = self._members(group, relation, hidden_allowed=readable["hidden"])
        kind, typed = "directoryObject", True
        if rest and rest[0].startswith("microsoft.graph."):
            kind, typed = rest[0].rpartition(".")[2], False
            if kind not in ("user", "group", "device", "servicePrincipal", "orgContact"):
                raise refuse(self._clock, 400, "Request_UnsupportedQuery", f"Unsupported cast: {rest[0]}.")
            nodes = [node for node in nodes if node.kind == kind]
            rest = rest[1:]
        if list(rest) == ["$count"]:
            return self._count(request, query, nodes, route=f"groups/{{id}}/{relation}/$count")
        if rest:
            raise refuse(self._clock, 400, "BadRequest", f"Resource not found for the segment '{rest[0]}'.")
        if self._knobs.members_omit_service_principals:
            nodes = [node for node in nodes if node.kind != "servicePrincipal"]
        route = f"groups/{{id}}/{relation}"
        if kind not in ("user", "group"):
            kind = "user" if query.select is None else "directoryObject"
        return self._list(request, query, nodes, kind=kind, typed=typed, route=route, readable=readable)

    def _members(self, group: Group, relation: str, *, hidden_allowed: bool) -> list[Node]:
        if _hides_members(group) and not hidden_allowed and relation != "owners":
            if self._knobs.hidden_membership == "forbidden":
                raise refuse(
                    self._clock,
                    403,
                    "Authorization_RequestDenied",
                    "Insufficient privileges to complete the operation.",
                )
            return []
        if relation != "transitiveMembers":
            return list(self._directory.active_links(group, "owners" if relation == "owners" else "members"))
        found: dict[str, Node] = {}
        waiting = [group]
        while waiting:
            for node in self._directory.active_links(waiting.pop()):
                if node.id not in found:
                    found[node.id] = node
                    if isinstance(node, Group):
                        waiting.append(node)
        return list(found.values())

    def _count(self, request: Request, query: Query, nodes: Iterable[Node], *, route: str) -> Answer:
        if request.headers.get("consistencylevel", "").lower() != "eventual":
            raise refuse(self._clock, 400, "Request_BadRequest", "$count is not currently supported.")
        text = query.filter
        count = sum(1 for node in nodes if not text or matches_filter(node, text, clock=self._clock))
        return Answer(200, str(max(0, count + self._knobs.count_offset)).encode(), "text/plain", route=route)

    # ---- single objects

    def _single(self, query: Query, node: Node, *, route: str, typed: bool = False) -> Answer:
        selection = parse_select(node.kind, query.select, delta=False, clock=self._clock)
        encoded = self._encode(node, selection, query, typed=typed)
        context = f'{{"@odata.context":"{self._url()}/v1.0/$metadata#{node.kind}s/$entity",'
        return Answer(200, context.encode() + encoded[1:], JSON_TYPE, route=route)

    def _manager(self, query: Query, user: Node) -> Answer:
        manager = self._directory.objects.get(user.manager or "")
        if manager is None or manager.state != "active":
            raise self._missing("manager")
        return self._single(query, manager, route="users/{id}/manager", typed=True)

    def _deleted(self, request: Request, query: Query, kind: str, rest: Sequence[str]) -> Answer:
        every: Sequence[Node] = self._directory.users if kind == "user" else self._directory.groups
        nodes = [node for node in every if node.state == "deleted"]
        route = f"directory/deletedItems/microsoft.graph.{kind}"
        if list(rest) == ["$count"]:
            return self._count(request, query, nodes, route=f"{route}/$count")
        return self._list(request, query, nodes, kind=kind, state="deleted", route=route)

    def _deleted_single(self, query: Query, object_id: str) -> Answer:
        node = self._directory.objects.get(object_id.lower())
        if node is None or node.state != "deleted":
            raise self._missing(object_id)
        return self._single(query, node, route="directory/deletedItems/{id}", typed=True)

    def _get_by_ids(self, request: Request, query: Query, *, readable: Mapping[str, bool]) -> Answer:
        try:
            document = msgspec.json.decode(request.body)
            ids, types = [str(i).lower() for i in document["ids"]], set(document.get("types", ()))
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
            raise refuse(self._clock, 400, "Request_BadRequest", "The request body is not valid.") from error
        if len(ids) > _GET_BY_IDS_LIMIT:
            raise refuse(self._clock, 400, "Request_BadRequest", f"Too many ids: the limit is {_GET_BY_IDS_LIMIT}.")
        found = [node for i in dict.fromkeys(ids) if (node := self._directory.objects.get(i)) is not None]
        found = [
            n for n in found if n.state == "active" and (not types or n.kind in types or "directoryObject" in types)
        ]
        entries = [
            self._encode(
                node,
                parse_select(
                    node.kind if query.select is None else "directoryObject",
                    query.select,
                    delta=False,
                    clock=self._clock,
                ),
                query,
                typed=True,
                readable=readable,
            )
            for node in found
        ]
        return Answer(200, b'{"value":[%b]}' % b",".join(entries), JSON_TYPE, route="directoryObjects/getByIds")

    def _user(self, name: str) -> Node:
        try:
            return self._directory.find_user(name)
        except NotFound as error:
            raise self._missing(name) from error

    def _group(self, group_id: str) -> Group:
        node = self._directory.objects.get(group_id.lower())
        if not isinstance(node, Group) or node.state != "active":
            raise self._missing(group_id)
        return node

    def _missing(self, name: str) -> Refusal:
        return refuse(
            self._clock,
            404,
            "Request_ResourceNotFound",
            f"Resource '{name}' does not exist or one of its queried reference-property objects are not present.",
        )


def _without_token(request: Request) -> list[str]:
    return [part for part in request.target.partition("?")[2].split("&") if part and "skiptoken" not in part.lower()]


def _hides_members(group: Group) -> bool:
    return group.properties.get("visibility") == "HiddenMembership"
