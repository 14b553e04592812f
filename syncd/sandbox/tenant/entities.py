"""How one object of a list, or a single one, is written: selection, statement of its type, and what is expanded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from syncd.clock import Clock
from syncd.sandbox.tenant.expansion import Expander
from syncd.sandbox.tenant.objects import Kind, Node
from syncd.sandbox.tenant.odata import encode_inner, encode_limited, encode_type
from syncd.sandbox.tenant.queries import Query
from syncd.sandbox.tenant.rights import Rights
from syncd.sandbox.tenant.routes import Collection
from syncd.sandbox.tenant.schema import SCHEMAS
from syncd.sandbox.tenant.selection import Selection, Selector
from syncd.sandbox.tenant.view import View
from syncd.sandbox.wire.knobs import TenantKnobs

Encode = Callable[[Node, View], bytes]


class Entities:
    """Makes the function that writes the objects of one answer."""

    def __init__(self, selector: Selector, knobs: TenantKnobs, clock: Clock) -> None:
        self._selector = selector
        self._knobs = knobs
        self._expander = Expander(selector, knobs, clock)

    def reader(
        self,
        rights: Rights,
        query: Query,
        found: Collection | None,
        *,
        reading: Literal["list", "single"],
        declared: str = "directoryObject",
    ) -> Encode:
        """Return what writes an object with ``$select`` and ``$expand`` of a query. Raises Refusal for these two.

        ``declared`` is the entity type that the answer's context names, where there is no list.
        """
        declared = found.declared if found is not None else declared
        limited = found is None or found.limited
        mixed = declared not in ("user", "group", "agentUser")
        chosen: dict[Kind, Selection] = {}
        fixed = None if mixed else self._selector.read(declared, query.select, reading=reading, rights=rights)
        expansion = self._expander.read(
            query.expand, kind=_expanded_kind(declared), reading=reading, eventual=query.eventual
        )
        stated = self._knobs.subtypes_stated

        def encode(node: Node, view: View) -> bytes:
            selection = fixed or self._choose(node, query, rights, chosen)
            prefix = encode_type(node, declared, stated=stated)
            if limited and node.kind == "user" and not rights.users:
                return b"{%b%b}" % (prefix, encode_limited(node, selection.properties))
            inner = encode_inner(
                node, selection.properties, omit_unset=node.kind not in SCHEMAS, unseen=selection.unseen
            )
            expanded = b"" if expansion is None else self._expander.write(node, expansion, view, rights=rights)
            return b"{%b%b%b}" % (prefix, inner, expanded)

        return encode

    def _choose(self, node: Node, query: Query, rights: Rights, chosen: dict[Kind, Selection]) -> Selection:
        """Return the selection for an object of a list of several types; those with a schema share one."""
        selection = chosen.get(node.kind)
        if selection is None:
            selection = self._selector.read_mixed(node, query.select, rights=rights)
            if node.kind in SCHEMAS:
                chosen[node.kind] = selection
        return selection


def _expanded_kind(declared: str) -> str:
    return "user" if declared == "agentUser" else declared
