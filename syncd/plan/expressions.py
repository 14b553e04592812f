"""CEL expressions over ``user`` and ``group``: compiled once, evaluated per object.

An attribute that the object does not have reads as null, except under ``has()``, which then is false.
``user.accountEnabled`` reads as true when the tenant does not say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from syncd.plan.cel_library import add_stdlib_to_context, cel

Variable = Literal["user", "group"]

_REFERENCE = re.compile(r"\b(user|group)(?:\.([A-Za-z_]\w*)|\[\s*[\"']([A-Za-z_]\w*)[\"']\s*\])")
_BOUND = re.compile(r"\.(?:exists|exists_one|all|map|filter)\(\s*([A-Za-z_]\w*)\s*,")
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")


class ExpressionFailed(Exception):
    """An expression could not be evaluated for one object; the message says why."""


class Expression:
    """A compiled expression over one variable."""

    def __init__(self, text: str) -> None:
        """Compile; raises ValueError with the parser's words."""
        self.text = text
        try:
            self._program = cel.compile(text)
            self._context = cel.Context()
            add_stdlib_to_context(self._context)
        except (ValueError, RuntimeError) as error:
            raise ValueError(" ".join(str(error).split())[:300]) from error
        self.attributes: Mapping[Variable, frozenset[str]] = {
            "user": _find_attributes(text, "user"),
            "group": _find_attributes(text, "group"),
        }
        unknown = set(self._program.variables()) - {"user", "group", *_BOUND.findall(text)}
        if unknown:
            raise ValueError(f"unknown name {', '.join(sorted(unknown))}: an expression sees 'user' or 'group'")

    def evaluate(self, variable: Variable, attributes: Mapping[str, Any]) -> Any:
        """Return the value for one object; raises ExpressionFailed."""
        enabled = attributes.get("accountEnabled", True)
        context = {**attributes, "accountEnabled": enabled is not False} if variable == "user" else dict(attributes)
        try:
            return self._execute(variable, context)
        except KeyError:
            absent = {name: None for name in self.attributes[variable] if name not in context}
            try:
                return self._execute(variable, {**absent, **context})
            except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
                raise ExpressionFailed(f"'{self.text}' fails: {_words(error)}") from error
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ExpressionFailed(f"'{self.text}' fails: {_words(error)}") from error

    def _execute(self, variable: Variable, attributes: Mapping[str, Any]) -> Any:
        self._context.add_variable(variable, attributes)
        return self._program.execute(self._context)

    def test(self, variable: Variable, attributes: Mapping[str, Any]) -> bool:
        """Return the value as a condition; anything but true or false raises ExpressionFailed."""
        value = self.evaluate(variable, attributes)
        if isinstance(value, bool):
            return value
        raise ExpressionFailed(f"'{self.text}' gives {value!r}, which is neither true nor false")


def find_problem(text: str) -> str | None:
    """Return why an expression cannot be used, None when it can."""
    try:
        Expression(text)
    except ValueError as error:
        return str(error)
    return None


def _find_attributes(text: str, variable: Variable) -> frozenset[str]:
    # References inside string literals are no references, but user["x"] needs its literal: those are taken first.
    found = {m[3] for m in _REFERENCE.finditer(text) if m[1] == variable and m[3]}
    bare = _STRING.sub('""', text)
    found.update(m[2] for m in _REFERENCE.finditer(bare) if m[1] == variable and m[2])
    return frozenset(found)


def _words(error: Exception) -> str:
    said = " ".join(str(error).split())[:200]
    return f"no attribute {said}" if isinstance(error, KeyError) else said
