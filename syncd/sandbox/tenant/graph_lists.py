"""Graph without delta: what a path asks for, and the answers for single objects, getByIds and the organisation.

Lists and counts are made by ``pages``; each answer comes from the state that its kind of read sees (``replicas``).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.entities import Entities
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.tenant.odata import JSON_TYPE, refuse, refuse_missing
from syncd.sandbox.tenant.pages import Asked, Pages
from syncd.sandbox.tenant.paths import cast_of
from syncd.sandbox.tenant.replicas import Replicas
from syncd.sandbox.tenant.routes import Routes
from syncd.sandbox.tenant.selection import Selector
from syncd.sandbox.tenant.view import View
from syncd.sandbox.wire.http import Answer, Refusal, Unreadable, read_json
from syncd.sandbox.wire.ledger import Ledger
from syncd.sandbox.wire.tokens import Seal

_GET_BY_IDS_LIMIT = 1000
_ROOTS = frozenset({"users", "groups", "directory", "directoryObjects", "organization"})


class _Ids(msgspec.Struct, frozen=True):
    """The body of getByIds."""

    ids: list[str]
    types: list[str] | None = None


class Lists:
    """Answers everything that is not delta."""

    def __init__(
        self, directory: Directory, replicas: Replicas, *, seal: Seal, ledger: Ledger, graph_url: Callable[[], str]
    ) -> None:
        self._directory = directory
        self._replicas = replicas
        self._clock = directory.clock
        self._knobs = directory.knobs
        self._url = graph_url
        self.selector = Selector(directory, directory.knobs, directory.clock)
        self._entities = Entities(self.selector, directory.knobs, directory.clock)
        self._routes = Routes(directory.knobs, directory.clock)
        self._pages = Pages(
            directory, replicas, self.selector, self._entities, seal=seal, ledger=ledger, graph_url=graph_url
        )

    def answer(self, asked: Asked, path: tuple[str, ...]) -> Answer:
        """Answer one GET (or getByIds) request; ``path`` is what stands behind the version. Raises Refusal."""
        if not path or path == ("",):
            raise refuse(self._clock, 404, "Request_ResourceNotFound", "There is no resource of an empty name.")
        counted = path[-1] == "$count"
        found = self._routes.find(path[:-1] if counted else path, asked.rights)
        if found is not None:
            self._check_cast(asked, path)
            return self._pages.count(asked, found) if counted else self._pages.page(asked, found)
        view = self._replicas.view("singles")
        match path:
            case ("users", name):
                return self._single(asked, view, self._user(asked, view, name), declared="user", route="users/{id}")
            case ("users", segment, name) if cast_of(segment) is not None:
                node = self._of_type(self._routes.user(view, name), cast_of(segment), name)
                return self._single(asked, view, node, declared="user", route="users/{id}")
            case ("users", name, "manager"):
                return self._manager(asked, view, self._user(asked, view, name))
            case ("users", name, "photo", *_):
                self._user(asked, view, name)
                raise refuse(
                    self._clock, 404, "ImageNotFound", "Exception of type 'ImageNotFoundException' was thrown."
                )
            case ("groups", group_id):
                group = self._routes.group(view, group_id)
                return self._single(asked, view, group, declared="group", route="groups/{id}")
            case ("directory", "deletedItems", object_id):
                node = self._in_state(view, object_id, "deleted")
                return self._single(asked, view, node, route="directory/deletedItems/{id}")
            case ("directory", "deletedItems", segment, object_id) if cast_of(segment) is not None:
                node = self._of_type(self._in_state(view, object_id, "deleted"), cast_of(segment), object_id)
                return self._single(asked, view, node, declared=node.kind, route="directory/deletedItems/{id}")
            case ("directoryObjects", "getByIds"):
                return self._get_by_ids(asked, view)
            case ("directoryObjects", object_id):
                node = self._in_state(view, object_id, "active")
                return self._single(asked, view, node, route="directoryObjects/{id}")
            case ("organization",):
                domain = self._directory.domain
                document = {"value": [{"displayName": "Nordwind", "verifiedDomains": [{"name": domain}]}]}
                return Answer(200, msgspec.json.encode(document), JSON_TYPE, route="organization")
        unknown = path[-1] if path[0] in _ROOTS else path[0]
        raise refuse(self._clock, 400, "BadRequest", f"Resource not found for the segment '{unknown}'.")

    def _check_cast(self, asked: Asked, path: tuple[str, ...]) -> None:
        if not self._knobs.casts_need_eventual or asked.query.eventual or path[0] == "directory":
            return
        if any(cast_of(segment) is not None for segment in path):
            raise refuse(
                self._clock,
                400,
                "Request_UnsupportedQuery",
                "A cast needs the header 'ConsistencyLevel: eventual' and $count.",
            )

    def _single(self, asked: Asked, view: View, node: Node, *, route: str, declared: str = "directoryObject") -> Answer:
        encode = self._entities.reader(asked.rights, asked.query, None, reading="single", declared=declared)
        entity_set = {"user": "users", "group": "groups"}.get(declared, "directoryObjects")
        context = f'{{"@odata.context":"{self._url()}/v1.0/$metadata#{entity_set}/$entity",'
        return Answer(200, context.encode() + encode(node, view)[1:], JSON_TYPE, route=route)

    def _manager(self, asked: Asked, view: View, user: Node) -> Answer:
        manager = view.objects.get(user.manager or "")
        if manager is None or manager.state != "active":
            raise self._missing("manager")
        return self._single(asked, view, manager, route="users/{id}/manager")

    def _user(self, asked: Asked, view: View, name: str) -> Node:
        """Return the user of a path; a principal name that begins with ``$`` is no key there ("Get user")."""
        if name.startswith("$") and "('" not in asked.request.path:
            raise refuse(self._clock, 400, "Request_BadRequest", f"Bad request: use users('{name}').")
        return self._routes.user(view, name)

    def _in_state(self, view: View, object_id: str, state: str) -> Node:
        node = view.objects.get(object_id.lower())
        if node is None or node.state != state:
            raise self._missing(object_id)
        return node

    def _of_type(self, node: Node, name: str | None, asked_for: str) -> Node:
        if name not in (node.kind, node.subtype):
            raise self._missing(asked_for)
        return node

    def _get_by_ids(self, asked: Asked, view: View) -> Answer:
        ids, types = self._read_ids(asked.request.body)
        found = [node for i in dict.fromkeys(ids) if (node := view.objects.get(i)) is not None]
        chosen = [
            node
            for node in found
            if node.state == "active"
            and (not types or types & {node.kind.casefold(), (node.subtype or "").casefold(), "directoryobject"})
        ]
        encode = self._entities.reader(asked.rights, asked.query, None, reading="list")
        entries = [encode(node, view) for node in chosen]
        return Answer(200, b'{"value":[%b]}' % b",".join(entries), JSON_TYPE, route="directoryObjects/getByIds")

    def _read_ids(self, body: bytes) -> tuple[list[str], set[str]]:
        """Return ids and types in lower case. Raises Refusal for a body of another shape, and for too many ids."""
        try:
            wanted = msgspec.convert(read_json(body), _Ids)
        except (Unreadable, msgspec.ValidationError) as error:
            raise refuse(self._clock, 400, "Request_BadRequest", "The request body is not valid.") from error
        if len(wanted.ids) > _GET_BY_IDS_LIMIT:
            raise refuse(self._clock, 400, "Request_BadRequest", f"Too many ids: the limit is {_GET_BY_IDS_LIMIT}.")
        return [text.lower() for text in wanted.ids], {text.casefold() for text in wanted.types or ()}

    def _missing(self, name: str) -> Refusal:
        return refuse_missing(self._clock, name)
