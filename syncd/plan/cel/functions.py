"""Which functions an expression may call, and in which form. Pure.

The CEL library notices a misspelt function only when an object is judged, and then as a failure of that object. So
every call is looked up here first. A test compares this table with the library, call by call.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncd.model.attributes import Problem, find_near
from syncd.plan.cel.own_functions import ZONED, find_zone
from syncd.plan.cel.syntax import Call, Literal, Name

TYPES = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
"""Names of types, to be compared with what ``type()`` gives."""

MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map"})


@dataclass(frozen=True, slots=True)
class Form:
    """How a function is called: after a dot (``method``), by itself (``free``), with how many arguments beside that."""

    method: tuple[int, int] | None = None
    free: tuple[int, int] | None = None


def _split(names: str, namespace: str = "") -> tuple[str, ...]:
    return tuple(namespace + name for name in names.split())


def _both(least: int, most: int) -> Form:
    """Return the form of a function that takes its first argument before the dot or in the brackets."""
    return Form((least - 1, most - 1), (least, most))


_ANY = 1000


def _share(form: Form, *names: str) -> dict[str, Form]:
    return dict.fromkeys(names, form)


FUNCTIONS: dict[str, Form] = {
    **_share(Form(None, (1, 1)), *_split("bytes double duration dyn has int string timestamp type uint")),
    **_share(Form((1, 1), None), *_split("endsWith matches startsWith")),
    **_share(Form((0, 1), None), *ZONED),
    **_share(Form((2, 2), None), *_split("all exists exists_one existsOne filter")),
    **_share(Form((2, 3), None), "map"),
    **_share(Form((0, 0), None), *_split("hasValue value")),
    **_share(Form((1, 1), None), *_split("or orValue")),
    **_share(Form(None, (0, 0)), "optional.none"),
    **_share(Form(None, (1, 1)), *_split("of ofNonZeroValue", "optional.")),
    **_share(_both(1, 1), *_split("bool distinct first last lowerAscii reverse size sort trim upperAscii")),
    **_share(_both(1, 2), *_split("flatten join")),
    **_share(_both(2, 2), *_split("charAt contains")),
    **_share(_both(2, 3), *_split("indexOf lastIndexOf split substring")),
    **_share(_both(3, 3), "slice"),
    **_share(_both(3, 4), "replace"),
    **_share(_both(1, _ANY), *_split("max min sum")),
    **_share(Form(None, (1, _ANY)), *_split("greatest least", "math.")),
    **_share(Form(None, (1, 1)), *_split("abs bitNot ceil floor isFinite isInf isNaN round sign sqrt trunc", "math.")),
    **_share(Form(None, (2, 2)), *_split("bitAnd bitOr bitShiftLeft bitShiftRight bitXor", "math.")),
    **_share(Form(None, (2, 2)), *_split("contains equivalent intersects", "sets.")),
    **_share(Form(None, (1, 1)), *_split("decode encode", "base64."), "lists.range", "strings.quote"),
}

NAMESPACES = frozenset(name.partition(".")[0] for name in FUNCTIONS if "." in name)

LIST_FUNCTIONS = frozenset(
    _split("distinct first flatten join last max min size slice sort sum")
    + _split("contains equivalent intersects", "sets.")
)
"""Functions that take lists (``size``: also lists)."""


def name_function(call: Call) -> str:
    """Return the full name of what is called: ``math.abs`` where a library's name stands before the dot."""
    if isinstance(call.base, Name) and call.base.text in NAMESPACES:
        return f"{call.base.text}.{call.name}"
    return call.name


def find_call_problem(call: Call) -> Problem | None:
    """Return what is wrong with a call, and the way out; None when the library, or syncd, can carry it out."""
    name, count = name_function(call), len(call.arguments)
    form = FUNCTIONS.get(name)
    if form is None:
        near = find_near(name, FUNCTIONS, cutoff=0.6)
        return f"calls {name}(), which does not exist", f"did you mean {near}()?" if near else "use another function"
    method = call.base is not None and name == call.name
    fitting, other = (form.method, form.free) if method else (form.free, form.method)
    if fitting is None:
        assert other is not None  # every function has a form
        subject = "x, " if other[0] > 1 and method else ""
        right = f"{name}({subject}…)" if method else f"x.{name}({'…' if other[1] else ''})"
        return f"calls {name}() in a form that it does not have", f"write {right}"
    least, most = fitting
    if least <= count <= most:
        return _find_zone_problem(call, name)
    wanted = str(least) if least == most else f"{least} or more" if most >= _ANY - 1 else f"{least} to {most}"
    after = " after the dot" if method else ""
    return f"calls {name}() with {count} values in its brackets{after}", f"it takes {wanted}"


def _find_zone_problem(call: Call, name: str) -> Problem | None:
    if name not in ZONED or not call.arguments:
        return None
    argument = call.arguments[0]
    only = argument[0] if len(argument) == 1 else None
    if isinstance(only, Literal) and only.key is not None:
        try:
            find_zone(only.key)
        except ValueError as error:
            return f"calls {name}() with a time zone that does not exist: {error}", 'write one like "Europe/Warsaw"'
    return None
