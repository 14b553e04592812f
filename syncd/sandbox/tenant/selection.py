"""``$select`` and property names: in any letter case, answered in the schema's, refused where Graph refuses them.

Lists that hold several types (members, groups above) accept any name, and each object shows what its type has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from syncd.clock import Clock
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.tenant.odata import refuse
from syncd.sandbox.tenant.rights import Rights
from syncd.sandbox.tenant.schema import SCHEMAS, Property
from syncd.sandbox.tenant.view import View
from syncd.sandbox.wire.http import Refusal
from syncd.sandbox.wire.knobs import TenantKnobs

Reading = Literal["list", "single", "delta"]
_TRACKED_RELATIONS = {"user": frozenset({"manager"}), "group": frozenset({"members", "owners"})}
_KINDS = {"agentUser": "user"}


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request selects of one type: property names without ``id`` (always there), and relationships.

    ``unseen`` are those properties whose values the token does not reveal.
    """

    properties: tuple[str, ...]
    relations: tuple[str, ...] = ()
    unseen: frozenset[str] = frozenset()


class Selector:
    """Reads property names against the schema and the tenant's directory extensions."""

    def __init__(self, view: View, knobs: TenantKnobs, clock: Clock) -> None:
        self._view = view
        self._knobs = knobs
        self._clock = clock

    def read(self, declared: str, text: str | None, *, reading: Reading, rights: Rights) -> Selection:
        """Return what ``$select`` names of one type; None is the default set.

        Raises Refusal: 400 for unknown names, relationships, and in delta what is not tracked; 501 in a list for what
        only a single object has; 403 for a missing permission where the knob says so.
        """
        kind = _KINDS.get(declared, declared)
        schema = SCHEMAS.get(kind)
        if schema is None:
            return Selection(_split(text) if text is not None else ("displayName",))
        if text is None:
            return Selection(schema.defaults, ("members",) if reading == "delta" and kind == "group" else ())
        properties, relations, refused = list[str](), list[str](), list[str]()
        for name in _split(text):
            known, related = schema.property(name), schema.relation(name)
            if known is not None:
                self._check(known, reading)
                (refused if reading == "delta" and not known.tracked else properties).append(known.name)
            elif related is None:
                properties.append(self.require(kind, name))
            elif reading == "delta" and related.name in _TRACKED_RELATIONS[kind]:
                relations.append(related.name)
            elif reading == "delta" or self._knobs.select_relations == "refused":
                refused.append(related.name)
        if refused:
            raise self._refuse_selection(refused, kind, reading)
        names = tuple(dict.fromkeys(name for name in properties if name != "id"))
        unseen = rights.unseen(kind, names)
        if unseen and self._knobs.unpermitted_property == "forbidden":
            raise refuse(
                self._clock, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
            )
        shown = tuple(name for name in names if (known := schema.property(name)) is None or known.where != "never")
        return Selection(shown, tuple(dict.fromkeys(relations)), unseen)

    def read_mixed(self, node: Node, text: str | None, *, rights: Rights) -> Selection:
        """Return what ``$select`` names of one object in a list of several types; what its type has not is left out."""
        schema = SCHEMAS.get(node.kind)
        if text is None:
            return Selection(schema.defaults if schema is not None else ("displayName",))
        names = (self.spell(node.kind, name) for name in _split(text)) if schema is not None else _own_names(node, text)
        chosen = tuple(dict.fromkeys(name for name in names if name is not None and name != "id"))
        return Selection(chosen, (), rights.unseen(node.kind, chosen))

    def spell(self, kind: str, name: str) -> str | None:
        """Return a property's name as the schema, or the tenant's directory extension, spells it; None if unknown."""
        schema = SCHEMAS.get(_KINDS.get(kind, kind))
        if schema is None:
            return name
        known = schema.property(name.partition("/")[0])
        return known.name if known is not None else self._extension(name)

    def require(self, kind: str, name: str) -> str:
        """Return the spelling of a property that a query names. Raises Refusal when there is none."""
        spelt = self.spell(kind, name)
        if spelt is None:
            raise refuse(
                self._clock,
                400,
                "BadRequest",
                f"Parsing OData Select and Expand failed: Could not find a property named '{name}' on type "
                f"'microsoft.graph.{kind}'.",
            )
        return spelt

    def _extension(self, name: str) -> str | None:
        folded = name.casefold()
        return self._view.extensions.get(folded, name) if folded.startswith("extension_") else None

    def _check(self, known: Property, reading: Reading) -> None:
        if reading == "list" and known.where == "single":
            raise refuse(self._clock, 501, "NotImplemented", "This operation target is not yet supported.")

    def _refuse_selection(self, names: list[str], kind: str, reading: Reading) -> Refusal:
        if reading != "delta":
            message = f"Relationships of 'microsoft.graph.{kind}' cannot be selected: {', '.join(names)}. Use $expand."
            return refuse(self._clock, 400, "BadRequest", message)
        return refuse(
            self._clock,
            400,
            "BadRequest",
            "Invalid request for delta query: for this entity set, $expand/$select is not supported for the following "
            f"properties: {', '.join(names)}",
        )


def _split(text: str) -> tuple[str, ...]:
    """Return the names of a list; of a path into a complex property, that property."""
    return tuple(dict.fromkeys(bare for name in text.split(",") if (bare := name.strip().partition("/")[0])))


def _own_names(node: Node, text: str) -> list[str]:
    """Return the names of an object's own properties that a list names in any case."""
    own = {name.casefold(): name for name in node.properties}
    return [own[name.casefold()] for name in _split(text) if name.casefold() in own]
