"""One program of the CEL library with the functions that its text calls, and what its failures mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from syncd.plan.cel.library import add_stdlib_to_context, cel
from syncd.plan.cel.own_functions import IMPLEMENTATIONS, OWN, WIDENED, ZONED
from syncd.plan.cel.rewriting import HAS, Macro, Rewritten
from syncd.plan.cel.shapes import has_value

FAILURES = (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError)
"""What the library raises for an object that an expression does not fit: bad index, wrong type, unreadable date, …"""

_NAMES = {own: name for names in (OWN, WIDENED, ZONED) for name, own in names.items()} | {HAS: "has"}
_OUR_NAME = re.compile(rf"\b({'|'.join(sorted(_NAMES, key=len, reverse=True))})\b(?=['(])")
_SYNTAX = re.compile(r"^Failed to parse expression .*?: ERROR: <input>:(.*?)(?: \| .*)?$")
"""The library repeats the whole text before it says where (line and column) the error is."""

_UNDEFINED = re.compile(r"Undefined variable or function: '(\w+)'.*")
_CALLBACK = re.compile(r"Function '(\w+)' error: (?:Python function call failed: \w+: )?(.*?)(?:\. Check function.*)?$")


class Reading:
    """A rewritten expression, compiled. Not for two threads at a time."""

    def __init__(self, rewritten: Rewritten) -> None:
        self._program = cel.compile(rewritten.text)
        macros = {macro.function: _Loop(macro) for macro in rewritten.macros}
        self._loops = tuple(macros.values())
        self._context = _make_context(macros)
        for loop in self._loops:
            loop.know(macros)

    def run(self, known: Mapping[str, Any]) -> Any:
        """Return the value; raises one of FAILURES."""
        for loop in self._loops:
            loop.learn(known)
        for name, value in known.items():
            self._context.add_variable(name, value)
        return self._program.execute(self._context)


class _Loop:
    """``exists`` or ``all``: an element that decides does so whatever happens with the others."""

    def __init__(self, macro: Macro) -> None:
        self._macro = macro
        self._program = cel.compile(macro.body)
        self._context: Any = None

    def know(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        """Take the functions that the body may call, other loops among them."""
        self._context = _make_context(functions)

    def learn(self, known: Mapping[str, Any]) -> None:
        """Take the object that is looked at."""
        for name, value in known.items():
            self._context.add_variable(name, value)

    def __call__(self, elements: Any, *outer: Any) -> bool:
        if not isinstance(elements, list | dict):
            raise TypeError(f"{self._macro.kind}() goes over a list or a map")
        deciding = self._macro.kind == "exists"
        failure: Exception | None = None
        for element in elements:
            for name, value in zip((*self._macro.outer, self._macro.bound), (*outer, element), strict=True):
                self._context.add_variable(name, value)
            try:
                value = self._program.execute(self._context)
            except FAILURES as error:
                failure = failure or error
                continue
            if not isinstance(value, bool):
                failure = failure or TypeError(f"the condition of {self._macro.kind}() is neither true nor false")
            elif value is deciding:
                return deciding
        if failure is not None:
            raise failure
        return not deciding


def _make_context(functions: Mapping[str, Callable[..., Any]]) -> Any:
    context = cel.Context()
    add_stdlib_to_context(context)
    context.add_function(HAS, has_value)
    for name, function in {**IMPLEMENTATIONS, **functions}.items():
        context.add_function(name, function)
    return context


def explain_failure(error: Exception, empty: Sequence[str]) -> str:
    """Say what is missing, which nearly always is the reason; the library names the function that met a null."""
    if not empty:
        return word_error(error)
    return f"no value in {', '.join(empty)}; has() tells whether there is one ({word_error(error, 80)})"


def word_error(error: Exception, limit: int = 200) -> str:
    """Return the library's words in one line, with the names that were written."""
    said = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"no attribute {said[:limit]}"
    said = _SYNTAX.sub(r"\1", said)
    said = _OUR_NAME.sub(lambda match: _NAMES[match[1]], said)
    said = _UNDEFINED.sub(r"\1() does not take such a value", said)
    return _CALLBACK.sub(r"\1(): \2", said)[:limit]
