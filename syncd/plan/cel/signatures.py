"""Kinds of values that functions take and give, as far as that can be told beforehand. Pure.

Where the library takes more than the specification says (``first`` and ``join`` of a text), nothing is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncd.plan.cel.own_functions import ZONED
from syncd.plan.cel.values import ValueKind

_TEXT: Final = ("text",)
_NUMBER: Final = ("number",)
_MATHS: Final = (
    "abs bitNot ceil floor isFinite isInf isNaN round sign sqrt trunc bitAnd bitOr bitShiftLeft bitShiftRight bitXor"
)

TAKES: Final[Mapping[str, tuple[tuple[ValueKind, ...], tuple[ValueKind, ...]]]] = {
    **dict.fromkeys(("startsWith", "endsWith", "matches"), (_TEXT, _TEXT)),
    **dict.fromkeys(("lowerAscii", "upperAscii", "trim", "strings.quote"), (_TEXT, ())),
    "contains": (("text", "list"), _TEXT),
    "charAt": (_TEXT, _NUMBER),
    **dict.fromkeys(("indexOf", "lastIndexOf", "split"), (_TEXT, ("text", "number"))),
    "substring": (_TEXT, ("number", "number")),
    "replace": (_TEXT, ("text", "text", "number")),
    "join": (("list", "text"), _TEXT),
    "size": (("text", "list", "object", "bytes"), ()),
    "string": (("text", "number", "flag", "time", "duration", "bytes"), ()),
    **dict.fromkeys(("int", "uint"), (("number", "text", "time"), ())),
    "double": (("number", "text"), ()),
    "bool": (("flag", "text"), ()),
    "timestamp": (("text", "number", "time"), ()),
    "duration": (("text", "duration"), ()),
    **dict.fromkeys(ZONED, (("time", "duration"), _TEXT)),
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), (("list",), ("list",))),
    **{f"math.{name}": (_NUMBER, _NUMBER) for name in _MATHS.split()},
}
"""Of each function the kinds that its subject may have (before the dot, or first), and that of each other value."""

RESULTS: Final[Mapping[str, ValueKind]] = {
    **dict.fromkeys(
        ("charAt", "join", "lowerAscii", "replace", "string", "strings.quote", "substring", "trim", "upperAscii"),
        "text",
    ),
    **dict.fromkeys(("double", "indexOf", "int", "lastIndexOf", "size", "uint", *ZONED), "number"),
    **dict.fromkeys(("bool", "contains", "endsWith", "hasValue", "matches", "startsWith"), "flag"),
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), "flag"),
    **{f"math.{name}": "flag" if name.startswith("is") else "number" for name in _MATHS.split()},
    "timestamp": "time",
    "duration": "duration",
    "bytes": "bytes",
}
SAME: Final = frozenset({"distinct", "optional.of", "reverse", "slice", "sort"})
"""Functions that give the kind that they are given."""
