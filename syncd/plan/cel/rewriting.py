"""An expression in the words in which the CEL library is to carry it out. Pure.

Twice: as it is read at first, and as it is read again where that has failed. The first reading differs from what was
written only where the library would give a wrong value. The second one is for what the library cannot do at all:
``exists`` and ``all`` go on past an element that fails, as the specification says, and conversions take what it lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from syncd.model.attributes import ELEMENT
from syncd.plan.cel.functions import name_function
from syncd.plan.cel.own_functions import OWN, WIDENED, ZONED
from syncd.plan.cel.references import References, Scope, get_bound_name, trace
from syncd.plan.cel.syntax import Call, Operator, get_end, get_start

HAS = "_is"
"""The function that says whether there is a value."""

_FORGIVING = ("exists", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Macro:
    """An ``exists`` or ``all`` that is carried out element by element.

    ``function``: the name under which the rewritten text calls it, with the values of ``outer``. ``body``: the
    condition, over ``bound``, rewritten as well.
    """

    function: str
    kind: Literal["exists", "all"]
    bound: str
    outer: tuple[str, ...]
    body: str


@dataclass(slots=True)
class Rewritten:
    """A text for the library, with the macros that are functions in it."""

    text: str
    macros: list[Macro] = field(default_factory=list)


def rewrite(found: References, *, again: bool = False) -> Rewritten:
    """Return the text of the first reading, or of the second one (``again``)."""
    edits = _Edits(found.text)
    macros: list[Macro] = []
    for call, scope in found.calls:
        name = name_function(call)
        own = OWN.get(name) or (WIDENED.get(name) if again else None) or (ZONED.get(name) if call.arguments else None)
        if own is not None:
            edits.replace(call.start if name != call.name else call.name_start, call.name_end, own)
        elif name == "has":
            _rewrite_has(call, scope, edits)
        elif again and call.name in _FORGIVING and (bound := get_bound_name(call)) is not None:
            macros.append(_rewrite_macro(call, scope, bound, edits, len(macros)))
    return Rewritten(edits.take(0, len(found.text)), macros)


def _rewrite_has(call: Call, scope: Scope, edits: _Edits) -> None:
    argument = call.arguments[0]
    only = argument[0]
    inside = edits.take(get_start(argument), get_end(argument))
    origin = trace(only, scope) if len(argument) == 1 and not isinstance(only, Operator) else None
    if origin is not None and ELEMENT not in origin[1]:
        edits.replace(call.start, call.end, f"{HAS}({inside})")
    else:  # whether it is there at all is not known
        edits.replace(call.start, call.end, f"(has({inside}) && {HAS}({inside}))")


def _rewrite_macro(call: Call, scope: Scope, bound: str, edits: _Edits, number: int) -> Macro:
    body = call.arguments[1]
    macro = Macro(
        function=f"_m{number}",
        kind="exists" if call.name == "exists" else "all",
        bound=bound,
        outer=tuple(sorted(scope.keys() - {bound})),
        body=edits.take(get_start(body), get_end(body)),
    )
    edits.replace(call.name_start, call.end, f"{macro.function}({', '.join(macro.outer)})")
    return macro


class _Edits:
    """Replacements in a text. A later one takes in those inside of it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._made: list[tuple[int, int, str]] = []

    def replace(self, start: int, end: int, new: str) -> None:
        self._made = [edit for edit in self._made if not (start <= edit[0] and edit[1] <= end)]
        self._made.append((start, end, new))

    def take(self, start: int, end: int) -> str:
        """Return a piece of the text as it stands now."""
        parts: list[str] = []
        at = start
        for begin, stop, new in sorted(edit for edit in self._made if start <= edit[0] and edit[1] <= end):
            parts += [self._text[at:begin], new]
            at = stop
        return "".join((*parts, self._text[at:end]))
