"""What a CEL expression looks at: attributes of ``user`` and ``group`` in whatever form, names, calls. Pure.

An attribute that is overlooked here would never be asked of Graph and read as null for everybody, so what cannot be
told in advance (``user[x]``) is reported as a look at everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

from syncd.model.attributes import ELEMENT, Path
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.plan.cel.functions import FUNCTIONS, LIST_FUNCTIONS, MACROS, TYPES, name_function
from syncd.plan.cel.syntax import Bracket, Call, Expr, Index, Name, Node, Operator, Select, parse

Origin = tuple[RecordKind, Path]
Scope = Mapping[str, Origin | None]
"""Names that macros bind, with what they stand for where that is known."""

NOW = "now"

_WORDS = TYPES | {"true", "false", "null"}
_ALIKE = frozenset({"distinct", "dyn", "filter", "reverse", "slice", "sort", "value"})
"""Functions whose value has the same elements, or is the same, as what they are given."""
_ONE_OF = frozenset({"first", "last"})
_BESIDE_LISTS = frozenset({"==", "!=", "+"})


@dataclass(slots=True)
class References:
    """What an expression looks at.

    ``paths``: per variable the properties with what is looked at inside of them. ``lists``: those over which a macro
    goes; ``list_places``: those that stand where a list may stand. ``elements``: what is looked at in elements of lists
    and other values that no property names, ``element_lists`` the names among it that are used as lists. ``whole``:
    variables that are used otherwise than by a property. ``unknown``: names that nothing bears. ``calls``: every call
    with the names bound around it, inner ones first.
    """

    text: str
    _: KW_ONLY
    paths: dict[RecordKind, set[Path]] = field(default_factory=lambda: {"user": set(), "group": set()})
    lists: dict[RecordKind, set[Path]] = field(default_factory=lambda: {"user": set(), "group": set()})
    list_places: dict[RecordKind, set[Path]] = field(default_factory=lambda: {"user": set(), "group": set()})
    elements: set[Path] = field(default_factory=set)
    element_lists: set[str] = field(default_factory=set)
    whole: set[RecordKind] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    calls: list[tuple[Call, Scope]] = field(default_factory=list)
    uses_now: bool = False


def find_references(text: str) -> References:
    """Read an expression that compiles; raises ValueError for one that cannot be read."""
    expression = parse(text)
    walker = _Walker(References(text))
    try:
        walker.read(expression, {})
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return walker.found


def trace(node: Node, scope: Scope) -> Origin | None:
    """Return the property that a node is, or leads into; the bare variable has an empty path. None: something else."""
    match node:
        case Name(text=name) if name in scope:
            return scope[name]
        case Name(text="user" | "group" as name):
            return name, ()
        case Select(base=base, name=name):
            return _extend(trace(base, scope), name)
        case Index(base=base, key=key):
            origin = trace(base, scope)
            return None if key is None and origin is not None and not origin[1] else _extend(origin, key or ELEMENT)
        case Bracket() if (inner := _unwrap(node)) is not node:
            return trace(inner, scope)
        case Call(name=name):
            subject = get_subject(node)
            origin = None if subject is None else trace(subject, scope)
            if origin is None or not origin[1]:
                return None
            return origin if name in _ALIKE else _extend(origin, ELEMENT) if name in _ONE_OF else None
        case _:
            return None


def get_subject(call: Call) -> Node | None:
    """Return what a call is about: what stands before the dot, or its first value where nothing does."""
    if call.base is not None and name_function(call) == call.name:
        return call.base
    first = call.arguments[0] if call.arguments else ()
    return first[0] if len(first) == 1 and not isinstance(first[0], Operator) else None


def get_bound_name(call: Call) -> str | None:
    """Return the name that a macro binds, or a function that does not exist would as one; None for other calls."""
    if call.base is None or (call.name in FUNCTIONS and call.name not in MACROS) or len(call.arguments) < 2:
        return None
    name = call.arguments[0][0]
    return name.text if isinstance(name, Name) and len(call.arguments[0]) == 1 else None


def _extend(origin: Origin | None, name: str) -> Origin | None:
    return None if origin is None else (origin[0], (*origin[1], name))


class _Walker:
    def __init__(self, found: References) -> None:
        self.found = found

    def read(self, expression: Expr, scope: Scope) -> None:
        """Note everything in an expression, and which of its operands stand beside a list."""
        for before, part, after in zip((None, *expression), expression, (*expression[1:], None), strict=False):
            if not isinstance(part, Operator):
                self._visit(part, scope)
            elif part.text == "." and after is not None:  # a name that begins with a dot
                self.found.unknown.add(self.found.text[part.start : after.end])
            elif part.text == "in":
                self._note_list_place(after, scope)
            elif part.text in _BESIDE_LISTS:
                for one, other in ((before, after), (after, before)):
                    if isinstance(other, Bracket) and other.opener == "[":
                        self._note_list_place(one, scope)

    def _visit(self, node: Node, scope: Scope, *, top: bool = True) -> None:
        """``top`` False: more follows, which has been noted as a whole."""
        match node:
            case Name():
                self._visit_name(node, scope, top=top)
            case Bracket(parts=parts):
                for part in parts:
                    self.read(part, scope)
            case Select(base=base) | Index(base=base):
                if top:
                    self._note_path(node, scope)
                if isinstance(node, Index):
                    for part in node.inner:
                        self.read(part, scope)
                inner = _unwrap(base)
                self._visit(inner, scope, top=not isinstance(inner, Name | Select | Index))
            case Call():
                self._visit_call(node, scope)
            case _:
                pass

    def _visit_name(self, node: Name, scope: Scope, *, top: bool) -> None:
        if node.text in scope:
            return
        origin = trace(node, scope)
        if origin is not None:
            if top:
                self.found.whole.add(origin[0])
        elif self._is_now(node, scope):
            self.found.uses_now = True
        elif node.text not in _WORDS:
            self.found.unknown.add(node.text)

    def _visit_call(self, call: Call, scope: Scope) -> None:
        name, bound = name_function(call), get_bound_name(call)
        if call.base is not None and name == call.name:
            self._visit(call.base, scope)
        if bound is not None:
            assert call.base is not None  # as get_bound_name says
            if bound in RECORD_KINDS or bound == NOW:
                self.found.unknown.add(f"{bound} (a name that {call.name}() must not give to something else)")
            element = _extend(trace(call.base, scope), ELEMENT)
            self._note_list(call.base, scope)
            for part in call.arguments[1:]:
                self.read(part, {**scope, bound: element})
        else:
            if name in LIST_FUNCTIONS:
                for node in (get_subject(call), *(part[0] for part in call.arguments if len(part) == 1)):
                    self._note_list_place(node, scope)
            for part in call.arguments:
                self.read(part, scope)
        self.found.calls.append((call, scope))

    def _is_now(self, node: Name, scope: Scope) -> bool:
        return node.text == NOW and NOW not in scope

    def _note_path(self, node: Select | Index, scope: Scope) -> None:
        origin = trace(node, scope)
        if origin is not None:
            variable, path = origin
            self.found.paths[variable].add(path)
            return
        path, base = _split_chain(node)
        whole = trace(base, scope)
        if whole is not None and not whole[1]:
            self.found.whole.add(whole[0])
        elif path:
            self.found.elements.add(path)

    def _note_list(self, node: Node, scope: Scope) -> None:
        origin = trace(node, scope)
        if origin is not None and origin[1]:
            self.found.lists[origin[0]].add(origin[1])
            self.found.paths[origin[0]].add((*origin[1], ELEMENT))
        self._note_element_list(node)

    def _note_list_place(self, node: Node | Operator | None, scope: Scope) -> None:
        if node is None or isinstance(node, Operator):
            return
        origin = trace(node, scope)
        if origin is not None and origin[1]:
            self.found.list_places[origin[0]].add(origin[1])
        self._note_element_list(node)

    def _note_element_list(self, node: Node) -> None:
        name = node.name if isinstance(node, Select) else node.key if isinstance(node, Index) else None
        if name is not None:
            self.found.element_lists.add(name)


def _split_chain(node: Select | Index) -> tuple[Path, Node]:
    """Return the names at the end of a chain, as far as they are spelled out, and the first operand of the chain."""
    names: list[str] = []
    spelled = True
    current: Node = node
    while isinstance(current, Select | Index):
        name = current.name if isinstance(current, Select) else current.key
        spelled = spelled and name is not None
        if spelled and name is not None:
            names.append(name)
        current = _unwrap(current.base)
    return tuple(reversed(names)), current


def _unwrap(node: Node) -> Node:
    """Return what stands alone in round brackets, anything else as it is."""
    while isinstance(node, Bracket) and node.opener == "(" and len(node.parts) == 1 and len(node.parts[0]) == 1:
        only = node.parts[0][0]
        if isinstance(only, Operator):
            break
        node = only
    return node
