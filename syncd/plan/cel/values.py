"""What is known beforehand about a value in an expression: its kind, and what it is called in a sentence. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from syncd.model.attributes import ELEMENT, Path, find_kind, spell_path
from syncd.model.graph_properties import OBJECTS, Kind
from syncd.model.kinds import RecordKind

ValueKind = Literal["", "bytes", "duration", "flag", "list", "null", "number", "object", "record", "text", "time"]
"""The empty one is not known: a directory extension, a tenant's own set, what ``dyn()`` gives. ``record``: the user or
group itself."""

_WORDS: Final = {
    "bytes": "bytes",
    "duration": "a duration",
    "flag": "true or false",
    "list": "a list",
    "number": "a number",
    "object": "an object",
    "record": "a user or a group",
    "text": "a text",
    "time": "a time",
}
_PLURALS: Final = {"flag": "flags", "number": "numbers", "object": "objects", "text": "texts", "time": "times"}
_PLAIN: Final = ("text", "flag", "number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value. ``written``: as it stands in the expression.

    ``origin``: the property that it is, or is an element of. ``element``: of a list, what its elements are, where that
    is one kind; ``items``: the elements of a list that is written out. ``literal``: it is written out.
    """

    kind: ValueKind = ""
    written: str = ""
    origin: tuple[RecordKind, Path] | None = None
    element: Value | None = None
    items: tuple[Value, ...] = ()
    literal: bool = False

    @property
    def known(self) -> bool:
        """Return whether it can be said to be unlike another one: null is like everything."""
        return self.kind not in ("", "null", "record")

    @property
    def name(self) -> str:
        """Return what it is called: a property as Graph spells it, anything else as it is written."""
        if self.origin is None or not self.origin[1] or ELEMENT in self.origin[1]:
            return self.written
        return f"{self.origin[0]}.{'.'.join(spell_path(*self.origin))}"

    def describe(self) -> str:
        """Return what it is, to stand behind "which is"."""
        if self.kind == "list" and self.element is not None and self.element.kind in _PLURALS:
            return f"a list of {_PLURALS[self.element.kind]}"
        return _WORDS[self.kind]

    def list_fields(self) -> list[str]:
        """Return what the objects hold that this list has; empty for other lists."""
        if self.origin is None or self.element is None or self.element.kind != "object":
            return []
        kind = find_kind(*self.origin)
        return sorted(OBJECTS.get(kind.type, ())) if kind is not None else []


def look_into(value: Value, part: str, written: str) -> Value:
    """Return a property of a user or group, or what is inside of one; ``part`` may be ``ELEMENT``."""
    if value.origin is None:
        return Value(written=written)
    origin = value.origin[0], (*value.origin[1], part)
    return _make(find_kind(*origin), origin, written)


def _make(kind: Kind | None, origin: tuple[RecordKind, Path], written: str) -> Value:
    if kind is None:
        return Value(written=written, origin=origin)
    if kind.many:
        element = _make(Kind(kind.type), (origin[0], (*origin[1], ELEMENT)), "")
        return Value(kind="list", written=written, origin=origin, element=element)
    if kind.type == "time":  # Graph sends a time as a text
        return Value(kind="text", written=written, origin=origin)
    plain = next((name for name in _PLAIN if name == kind.type), None)
    return Value(kind=plain or "object", written=written, origin=origin)
