"""Texts that stand in an expression as they are, where a function has to read them. Pure.

The library reads them only when an object is judged, so that everybody would be skipped for one that it cannot read.
"""

from __future__ import annotations

from collections.abc import Mapping

from syncd.model.attributes import Problem
from syncd.plan.cel.functions import name_function
from syncd.plan.cel.library import cel
from syncd.plan.cel.syntax import Call, Literal

_READ: Mapping[str, tuple[str, str, str]] = {
    "duration": ("duration({})", "no duration", 'write a sum of h, m and s such as "72h"'),
    "timestamp": ("timestamp({})", "no time", 'write one like "2027-05-01T00:00:00Z"'),
    "int": ("int({})", "no whole number", "write the number itself"),
    "uint": ("uint({})", "no whole number", "write the number itself"),
    "double": ("double({})", "no number", "write the number itself"),
    "matches": ('"".matches({})', "no regular expression of RE2", "correct the pattern"),
}
"""How each function is tried out, what its text is when that fails, and the way out."""


def find_literal_problem(call: Call, text: str) -> Problem | None:
    """Return why a function cannot read the text that is written in its brackets; None where it can, or has another."""
    argument = call.arguments[0] if len(call.arguments) == 1 else ()
    if len(argument) != 1 or not isinstance(argument[0], Literal):
        return None
    written = text[argument[0].start : argument[0].end]
    trial, what, remedy = _READ.get(name_function(call), ("", "", ""))
    if not trial or written[-1:] not in "\"'":
        return None
    try:
        cel.compile(trial.format(written)).execute({})
    except (ValueError, RuntimeError):
        return f"calls {call.name}() with {written}, which is {what}", remedy
    return None
