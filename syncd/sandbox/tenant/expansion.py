"""``$expand``: one relationship of a user or group beside its properties.

A manager comes with the default properties, or with those of ``$select`` in brackets, and with ``$levels`` the managers
above; of many related objects at most twenty come, without a link to more ("Use query parameters", "expand"; "List
manager"). Whether a list of users may name ``$levels`` at all is a knob: it was seen to work with 1 in 2021
(microsoft-graph-explorer-v4#1029), and the page of 2025 allows it for single users with ``ConsistencyLevel: eventual``
only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from syncd.clock import Clock
from syncd.sandbox.tenant.objects import Group, Node
from syncd.sandbox.tenant.odata import encode_inner, encode_type, refuse
from syncd.sandbox.tenant.rights import Rights
from syncd.sandbox.tenant.schema import SCHEMAS
from syncd.sandbox.tenant.selection import Selection, Selector
from syncd.sandbox.tenant.view import View
from syncd.sandbox.wire.http import Refusal, read_number
from syncd.sandbox.wire.knobs import TenantKnobs

_LIMIT = 20
_MAX_LEVELS = 1000
_FORM = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_EXPANDABLE = {
    "user": ("manager", "directReports", "memberOf", "ownedObjects"),
    "group": ("members", "owners", "memberOf"),
}


@dataclass(frozen=True, slots=True)
class Expansion:
    """What ``$expand`` asks for. ``levels``: of managers above each other; ``select``: as in brackets, None without.

    ``chosen`` remembers what that selects of each type.
    """

    relation: str
    select: str | None = None
    levels: int = 1
    chosen: dict[str, Selection] = field(default_factory=dict)


class Expander:
    """Reads ``$expand`` and writes what it asks for."""

    def __init__(self, selector: Selector, knobs: TenantKnobs, clock: Clock) -> None:
        self._selector = selector
        self._knobs = knobs
        self._clock = clock

    def read(
        self, text: str | None, *, kind: str, reading: Literal["list", "single"], eventual: bool
    ) -> Expansion | None:
        """Return what is to be expanded, None for nothing. Raises Refusal for what Graph would refuse."""
        if not text:
            return None
        form = _FORM.fullmatch(text)
        if form is None or "," in text.partition("(")[0]:
            raise self._refuse(
                "BadRequest", "Parsing OData Select and Expand failed: only one relationship is expanded."
            )
        related = SCHEMAS[kind].relation(form[1]) if kind in SCHEMAS else None
        if related is None:
            raise self._refuse(
                "BadRequest",
                f"Parsing OData Select and Expand failed: Could not find a property named '{form[1]}' on type "
                f"'microsoft.graph.{kind}'.",
            )
        if related.name not in _EXPANDABLE[kind]:
            raise self._refuse(
                "Request_UnsupportedQuery", f"The relationship '{related.name}' cannot be expanded here."
            )
        select, levels = None, None
        for option in (form[2] or "").split(";"):
            name, _, value = option.strip().partition("=")
            match name.lstrip("$").casefold():
                case "":
                    pass
                case "select":
                    select = value
                case "levels" if related.name == "manager":
                    levels = self._read_levels(value, reading=reading, eventual=eventual)
                case _:
                    raise self._refuse("BadRequest", f"The option '{name}' of $expand is not supported.")
        return Expansion(related.name, select, levels or 1)

    def write(self, node: Node, expansion: Expansion, view: View, *, rights: Rights) -> bytes:
        """Return the JSON of what is expanded with a comma before it, nothing for somebody without a manager."""
        if expansion.relation == "manager":
            return self._write_manager(node, expansion, view, rights)
        written = (
            b"{%b}" % self._write_one(each, expansion, rights)
            for each in islice(_related(view, node, expansion.relation, rights), _LIMIT)
        )
        return b',"%b":[%b]' % (expansion.relation.encode(), b",".join(written))

    def _write_manager(self, node: Node, expansion: Expansion, view: View, rights: Rights) -> bytes:
        chain: list[Node] = []
        while len(chain) < expansion.levels:
            manager = view.objects.get((chain[-1] if chain else node).manager or "")
            if manager is None or manager.state != "active" or manager in chain:
                break
            chain.append(manager)
        written = b""
        for manager in reversed(chain):
            written = b',"manager":{%b%b}' % (self._write_one(manager, expansion, rights), written)
        return written

    def _write_one(self, node: Node, expansion: Expansion, rights: Rights) -> bytes:
        chosen = expansion.chosen.get(node.kind)
        if chosen is None:
            chosen = self._selector.read_mixed(node, expansion.select, rights=rights)
            if node.kind in SCHEMAS:
                expansion.chosen[node.kind] = chosen
        return encode_type(node, "directoryObject", stated=self._knobs.subtypes_stated) + encode_inner(
            node, chosen.properties, omit_unset=node.kind not in SCHEMAS, unseen=chosen.unseen
        )

    def _read_levels(self, text: str, *, reading: str, eventual: bool) -> int:
        levels = _MAX_LEVELS if text.strip().casefold() == "max" else read_number(text.strip())
        if levels is None or not 0 < levels <= _MAX_LEVELS:
            raise self._refuse("BadRequest", f"Invalid value '{text}' of $levels: a number from 1 to 1000, or max.")
        strict = self._knobs.manager_levels == "documented"
        if reading == "list" and (levels > 1 or strict):
            raise self._refuse(
                "Request_UnsupportedQuery",
                "Transitive manager's list is only supported on a single user, send the $expand request on /users/{id} "
                "endpoint",
            )
        if strict and not eventual:
            raise self._refuse("Request_UnsupportedQuery", "$levels needs the header 'ConsistencyLevel: eventual'.")
        return levels

    def _refuse(self, code: str, message: str) -> Refusal:
        return refuse(self._clock, 400, code, message)


def _related(view: View, node: Node, relation: str, rights: Rights) -> Iterable[Node]:
    """Return the active objects that a relationship of many leads to."""
    find: dict[str, Callable[[], Iterable[Node]]] = {
        "directReports": lambda: (user for user in view.active_users() if user.manager == node.id),
        "memberOf": lambda: (
            group
            for group in view.groups_of(node.id)
            if group.state == "active" and (rights.hidden_members or not group.hides_members)
        ),
        "ownedObjects": lambda: (group for group in view.groups_of(node.id, "owners") if group.state == "active"),
        "members": lambda: (
            view.active_links(node)
            if isinstance(node, Group) and (rights.hidden_members or not node.hides_members)
            else ()
        ),
        "owners": lambda: view.active_links(node, "owners") if isinstance(node, Group) else (),
    }
    return find[relation]()
