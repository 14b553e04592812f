"""Walks an expression with what is known of its values, and finds where kinds do not go together. Pure.

The structure of `syntax` has no precedence of operators; here it has. What cannot be told beforehand (directory
extensions, a tenant's own names, ``dyn()``) goes with everything, so that nothing is refused on a guess.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from syncd.model.attributes import ELEMENT, Problem
from syncd.model.kinds import RECORD_KINDS, RulePurpose
from syncd.plan.cel.functions import MACROS, name_function
from syncd.plan.cel.mismatches import (
    judge_comparison,
    judge_condition,
    judge_given,
    judge_product,
    judge_search,
    judge_sum,
)
from syncd.plan.cel.references import get_bound_name
from syncd.plan.cel.signatures import RESULTS, SAME, TAKES
from syncd.plan.cel.syntax import Bracket, Call, Expr, Index, Name, Node, Operator, Select, parse
from syncd.plan.cel.syntax import Literal as Written
from syncd.plan.cel.values import Value, ValueKind, look_into

_LEVELS: Final = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"==", "!=", "<", "<=", ">", ">=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_UNWRITABLE: Final = ("time", "duration", "bytes", "object")
_NAMES: Final[Mapping[str, ValueKind]] = {"true": "flag", "false": "flag", "null": "null", "now": "time"}

_Known = Mapping[str, Value]
"""Names that macros bind."""


class _Unreadable(Exception):
    """Something that has no place in the order of operators: nothing more is said about the expression."""


def find_mismatches(text: str, purpose: RulePurpose) -> list[Problem]:
    """Return where kinds do not go together in an expression that compiles, with the ways out."""
    walker = _Walker(text)
    with contextlib.suppress(_Unreadable, RecursionError):
        whole = walker.read(parse(text), {})
        if purpose == "condition":
            walker.note(judge_condition(whole))
        elif whole.kind in _UNWRITABLE:
            written = (
                f"write string({whole.written})" if whole.kind in ("time", "duration") else "take a value out of it"
            )
            walker.note((f"gives {whole.describe()}, and a field takes a text, a number or a flag", written))
    return walker.problems


class _Walker:
    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._text = text

    def note(self, problem: Problem | None) -> None:
        """Keep a problem, if there is one."""
        if problem is not None:
            self.problems.append(problem)

    def read(self, expression: Expr, known: _Known) -> Value:
        """Return what is known of an expression, and note what does not go together in it."""
        order = _Order(expression, lambda node: self._visit(node, known), self)
        value = order.read_choice()
        if not order.at_end:
            raise _Unreadable
        return value

    def slice(self, start: int, end: int) -> str:
        """Return what is written there, on one line."""
        return " ".join(self._text[start:end].split())

    def _visit(self, node: Node, known: _Known) -> Value:
        written = self.slice(node.start, node.end)
        match node:
            case Written():
                return Value(kind=_read_literal(written), written=written, literal=True)
            case Name(text=name):
                return self._visit_name(name, known)
            case Bracket():
                return self._visit_bracket(node, known, written)
            case Select(base=base, name=name):
                return look_into(self._visit(base, known), name, written)
            case Index(base=base, inner=inner, key=key):
                outer = self._visit(base, known)
                for part in inner:
                    self.read(part, known)
                if outer.kind == "list":
                    element = outer.element or Value()
                    return replace(element, written=written)
                return look_into(outer, key, written) if key is not None else Value(written=written)
            case Call():
                return replace(self._visit_call(node, known), written=written)

    def _visit_name(self, name: str, known: _Known) -> Value:
        if name in known:
            return replace(known[name], written=name)
        for record in RECORD_KINDS:
            if name == record:
                return Value(kind="record", written=name, origin=(record, ()))
        return Value(kind=_NAMES.get(name, ""), written=name, literal=name in ("true", "false"))

    def _visit_bracket(self, node: Bracket, known: _Known, written: str) -> Value:
        if node.opener == "{":
            return Value(kind="object", written=written, literal=True)  # what is in it is not looked at
        inner = tuple(self.read(part, known) for part in node.parts)
        if node.opener == "(":
            return inner[0] if len(inner) == 1 else Value(written=written)
        kinds = {each.kind for each in inner}
        element = Value(kind=inner[0].kind) if len(kinds) == 1 else None
        return Value(kind="list", written=written, element=element, items=inner, literal=True)

    def _visit_call(self, call: Call, known: _Known) -> Value:
        name = name_function(call)
        base = self._visit(call.base, known) if call.base is not None and name == call.name else None
        bound = get_bound_name(call)
        if bound is not None and base is not None:
            return self._visit_macro(call, base, {**known, bound: _take_element(base)})
        values = [self.read(part, known) for part in call.arguments]
        subject = base if base is not None else values[0] if values else Value()
        if base is None:
            values = values[1:]
        if name == "has":
            return Value(kind="flag")
        if name == "contains" and subject.kind == "list":
            self.note(judge_search(values[0], subject) if values else None)
        elif name in TAKES:
            of_subject, of_others = TAKES[name]
            self.note(judge_given(name, subject, of_subject, subject=True))
            for value, kind in zip(values, of_others, strict=False):
                self.note(judge_given(name, value, (kind,), subject=False))
        return _give(name, subject, values)

    def _visit_macro(self, call: Call, base: Value, known: _Known) -> Value:
        *conditions, last = (self.read(part, known) for part in call.arguments[1:])
        if call.name not in MACROS:
            return Value()
        for value in conditions if call.name == "map" else (*conditions, last):
            self.note(judge_condition(value))
        if call.name == "map":
            return Value(kind="list", element=Value(kind=last.kind, element=last.element) if last.known else None)
        return base if call.name == "filter" else Value(kind="flag")


class _Order:
    """Reads operands and operators by their precedence."""

    def __init__(self, expression: Expr, visit: Callable[[Node], Value], walker: _Walker) -> None:
        self._parts, self._at, self._visit, self._walker = expression, 0, visit, walker

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._parts)

    def read_choice(self) -> Value:
        """Read a whole expression: ``a ? b : c``, or without it."""
        start = self._at
        value = self._read_level(0)
        if not self._take(frozenset({"?"})):
            return value
        self._walker.note(judge_condition(value))
        one = self.read_choice()
        if not self._take(frozenset({":"})):
            raise _Unreadable
        other = self.read_choice()
        if "null" in (one.kind, other.kind):
            found = other if one.kind == "null" else one
            return Value(kind=found.kind, element=found.element, written=self._slice(start))
        if one.kind != other.kind:
            return Value(written=self._slice(start))
        element = one.element if one.element == other.element else None
        return Value(kind=one.kind, element=element, written=self._slice(start))

    def _read_level(self, level: int) -> Value:
        if level == len(_LEVELS):
            return self._read_operand()
        start = self._at
        value = self._read_level(level + 1)
        while sign := self._take(_LEVELS[level]):
            other = self._read_level(level + 1)
            value = self._combine(sign, value, other, written=self._slice(start))
        return value

    def _read_operand(self) -> Value:
        start = self._at
        if sign := self._take(frozenset({"!", "-"})):
            value = self._read_operand()
            if sign == "!":
                self._walker.note(judge_condition(value))
                return Value(kind="flag", written=self._slice(start))
            return Value(kind=value.kind, written=self._slice(start), literal=value.literal)
        if self.at_end:
            raise _Unreadable
        part = self._parts[self._at]
        if isinstance(part, Operator):
            raise _Unreadable
        self._at += 1
        return self._visit(part)

    def _combine(self, sign: str, one: Value, other: Value, *, written: str) -> Value:
        note = self._walker.note
        if sign in ("&&", "||"):
            note(judge_condition(one))
            note(judge_condition(other))
            return Value(kind="flag", written=written)
        if sign == "in":
            note(judge_search(one, other))
            return Value(kind="flag", written=written)
        if sign in ("+", "-"):
            note(judge_sum(sign, one, other))
            return Value(kind=_add(sign, one.kind, other.kind), written=written)
        if sign in ("*", "/", "%"):
            note(judge_product(sign, one, other))
            return Value(kind="number" if one.kind == other.kind == "number" else "", written=written)
        note(judge_comparison(sign, one, other))
        return Value(kind="flag", written=written)

    def _take(self, signs: frozenset[str]) -> str:
        part = None if self.at_end else self._parts[self._at]
        if not isinstance(part, Operator) or part.text not in signs:
            return ""
        self._at += 1
        return part.text

    def _slice(self, start: int) -> str:
        return self._walker.slice(self._parts[start].start, self._parts[self._at - 1].end)


def _read_literal(written: str) -> ValueKind:
    if written[-1:] not in "\"'":
        return "number"
    prefix = written[: min(at for quote in "\"'" if (at := written.find(quote)) >= 0)]
    return "bytes" if "b" in prefix.lower() else "text"


def _take_element(base: Value) -> Value:
    """Return what a macro's name stands for: an element of a list; of a map, and of what is not known, anything."""
    if base.kind == "list":
        return base.element or Value()
    return look_into(base, ELEMENT, "") if base.kind == "" else Value()


def _give(name: str, subject: Value, values: list[Value]) -> Value:
    if name in SAME:
        return Value(kind=subject.kind, element=subject.element, items=subject.items if name != "slice" else ())
    if name in ("first", "last"):
        return subject.element or Value() if subject.kind == "list" else Value()
    if name in ("orValue", "or") and values and values[0].kind == subject.kind:
        return Value(kind=subject.kind, element=subject.element)
    if name == "split":
        return Value(kind="list", element=Value(kind="text"))
    return Value(kind=RESULTS.get(name, ""))


def _add(sign: str, one: ValueKind, other: ValueKind) -> ValueKind:
    if one == other:
        return "duration" if (sign, one) == ("-", "time") else one
    return "time" if {one, other} == {"time", "duration"} else ""
