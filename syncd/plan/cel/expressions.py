"""CEL expressions over ``user`` and ``group``: compiled once, evaluated per object.

An attribute that the object does not have, or that is null, reads as null, also inside of another one; a list reads as
an empty list. ``has()`` says whether there is a value. So it makes no difference whether Graph leaves a property out
(delta) or says null (a direct read). ``user.accountEnabled`` reads as true when the tenant does not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from syncd.model.attributes import COLLECTIONS, find_attribute_problem
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.plan.cel.library import add_stdlib_to_context, cel
from syncd.plan.cel.references import HAS, Path, find_references

_FAILURES = (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError)
"""What the library raises for an object that an expression does not fit: bad index, wrong type, unreadable date, …"""

Shape = Mapping[str, Any]
"""What an expression looks at: property -> what it looks at inside of it (the same again; empty: the value itself)."""


class ExpressionFailed(Exception):
    """An expression could not be evaluated for one object; the message says why."""


class Expression:
    """A compiled expression over one variable."""

    def __init__(self, text: str) -> None:
        """Compile; raises ValueError with the parser's words, or with what a rule cannot look at."""
        self.text = text
        found = find_references(text)
        try:
            self._program = cel.compile(found.text)
            self._context = cel.Context()
            add_stdlib_to_context(self._context)
            self._context.add_function(HAS, _has_value)
        except (ValueError, RuntimeError) as error:
            raise ValueError(_words(error)) from error
        unknown = set(self._program.variables()) - {*RECORD_KINDS, *found.bound}
        if unknown:
            raise ValueError(f"unknown name {', '.join(sorted(unknown))}: an expression sees 'user' or 'group'")
        for variable in sorted(found.whole):
            raise ValueError(
                f'looks at {variable} as a whole: name the attributes ({variable}.mail, {variable}["mail"]), '
                f"and ask for a value by has({variable}.mail)"
            )
        self.paths: Mapping[RecordKind, frozenset[Path]] = {name: frozenset(found.paths[name]) for name in RECORD_KINDS}
        self.attributes: Mapping[RecordKind, frozenset[str]] = {
            name: frozenset(path[0] for path in found.paths[name]) for name in RECORD_KINDS
        }
        self._shapes = {name: _make_shape(found.paths[name]) for name in RECORD_KINDS}
        self._lists = {name: COLLECTIONS[name] | found.lists[name] for name in RECORD_KINDS}

    def evaluate(self, variable: RecordKind, attributes: Mapping[str, Any]) -> Any:
        """Return the value for one object; raises ExpressionFailed."""
        shown = _shape_values(attributes, self._shapes[variable], self._lists[variable])
        if variable == "user" and "accountEnabled" in shown:
            shown["accountEnabled"] = shown["accountEnabled"] is not False
        self._context.add_variable(variable, shown)
        try:
            return self._program.execute(self._context)
        except _FAILURES as error:
            raise ExpressionFailed(f"'{self.text}' fails: {self._explain(error, shown)}") from error

    def test(self, variable: RecordKind, attributes: Mapping[str, Any]) -> bool:
        """Return the value as a condition; anything but true or false raises ExpressionFailed."""
        value = self.evaluate(variable, attributes)
        if isinstance(value, bool):
            return value
        raise ExpressionFailed(f"'{self.text}' gives {value!r}, which is neither true nor false")

    def _explain(self, error: Exception, shown: Mapping[str, Any]) -> str:
        """Say what is missing, which nearly always is the reason; the library names the function that met a null."""
        empty = sorted(name for name, value in shown.items() if not _has_value(value))
        if not empty:
            return _words(error)
        return f"no value in {', '.join(empty)}; has() tells whether there is one ({_words(error, 80)})"


def find_problem(text: str, entity: RecordKind) -> tuple[str, str] | None:
    """Return why an expression cannot be used in a rule for users or for groups, and the way out; None when it can."""
    try:
        expression = Expression(text)
    except ValueError as error:
        return f"is no usable CEL expression: {error}", "correct the expression"
    other: RecordKind = "group" if entity == "user" else "user"
    if expression.paths[other]:
        return f"looks at {other}, but decides about {entity}s", f"use attributes of {entity}"
    problems = (find_attribute_problem(entity, path) for path in sorted(expression.paths[entity]))
    return next((problem for problem in problems if problem is not None), None)


def _make_shape(paths: Iterable[Path]) -> Shape:
    shape: dict[str, Any] = {}
    for path in paths:
        inner = shape
        for name in path:
            inner = inner.setdefault(name, {})
    return shape


def _shape_values(values: Mapping[str, Any], shape: Shape, lists: frozenset[str]) -> dict[str, Any]:
    """Return just what is looked at, each with a value that can be looked at."""
    shown: dict[str, Any] = {}
    for name, inner in shape.items():
        value = values.get(name)
        if inner and (value is None or isinstance(value, Mapping)):
            shown[name] = _shape_values(value or {}, inner, frozenset())
        else:
            shown[name] = [] if value is None and name in lists else value
    return shown


def _has_value(value: Any) -> bool:
    """Return what ``has()`` says: null, an empty list and an object without any value are no values."""
    if isinstance(value, Mapping):
        return any(_has_value(inner) for inner in value.values())
    return value is not None and value != []


def _words(error: Exception, limit: int = 200) -> str:
    said = " ".join(str(error).split()).replace(f"{HAS}(", "has(")
    return f"no attribute {said[:limit]}" if isinstance(error, KeyError) else said[:limit]
