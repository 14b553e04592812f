"""Why two values of different kinds come to nothing, and the way out. Pure.

The library says false where a list, a flag, a number or a text is compared with a value of another kind, and fails for
each object where they are ordered, joined or handed to a function: either way a rule would be wrong for everybody. So
it is refused before a run. What is not known beforehand is like everything.
"""

from __future__ import annotations

import re
from typing import Final

from syncd.model.attributes import Problem
from syncd.plan.cel.values import Value

_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ORDERS: Final = frozenset(_MIRRORED)
_UNORDERED: Final = ("list", "object")
_ADDABLE: Final = ("number", "text", "list", "bytes", "duration")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_OTHERWISE: Final = "compare values of one type; dyn(…) stands for a value whose type is not known"


def judge_comparison(sign: str, one: Value, other: Value) -> Problem | None:
    """Return what is wrong with a comparison (``==``, ``!=``, ``<`` and the like); None when it may be true."""
    if sign in _ORDERS and "null" in (one.kind, other.kind):
        return f"compares {one.name} by {sign} with {other.name}, and null has no order", "ask by == null, or by has()"
    if not (one.known and other.known):
        return None
    if one.kind == other.kind:
        if one.kind in _UNORDERED and sign in _ORDERS:
            return f"compares {one.name} by {sign}, and {one.describe()} has no order", "compare one value of it"
        unlike = _find_unlike(one, other) if one.kind == "list" else None
        if unlike is None:
            return None
        return f"compares {one.name}, which is {one.describe()}, with {other.describe()}", "compare it with what it has"
    subject, against = (one, other) if _weigh(one) >= _weigh(other) else (other, one)
    sign = sign if subject is one else _MIRRORED.get(sign, sign)
    problem = f"compares {subject.name}, which is {subject.describe()}, with {against.describe()}"
    return problem, _advise(sign, subject, against)


def judge_search(needle: Value, hay: Value) -> Problem | None:
    """Return what is wrong with ``needle in hay``; None when it may be true."""
    if hay.kind in ("", "null", "record", "object"):
        return None
    if hay.kind == "text":
        remedy = f"write {hay.written}.contains({needle.written})" if needle.kind in ("", "text") else "name a list"
        return f"looks for {needle.name} in {hay.name}, which is a text and no list", remedy
    if hay.kind != "list":
        return f"looks for {needle.name} in {hay.name}, which is {hay.describe()} and no list", "name a list"
    unlike = _find_unlike(Value(kind="list", items=(needle,)), hay)
    if unlike is None or any(each.kind == needle.kind for each in _list_elements(hay)):
        return None
    problem = f"looks for {needle.name}, which is {needle.describe()}, in {_describe_place(hay)}"
    if needle.kind == "list":
        return problem, f"write {needle.name}.exists(e, e in {hay.written})"
    if needle.kind == "flag":
        return problem, f"write {needle.name} or !{needle.name}"
    if fields := hay.list_fields():
        return problem, f"write {hay.name}.exists(e, e.{fields[0]} == {needle.written})"
    if needle.kind == "text" and unlike.kind in ("number", "flag"):
        return problem, "write the values in the brackets as texts" if hay.literal else "look for a value of that type"
    return problem, _OTHERWISE


def judge_sum(sign: str, one: Value, other: Value) -> Problem | None:
    """Return what is wrong with ``+`` and ``-``; None when it can be done."""
    kinds = {one.kind, other.kind}
    if not (one.known and other.known) or _is_of_times(sign, one.kind, other.kind):
        return None
    text = one if one.kind == "text" else other
    if "text" in kinds and kinds & {"time", "duration"}:
        return f"reckons with {text.name}, which is a text, as with a time", f"write timestamp({text.name})"
    if len(kinds) == 1 and (one.kind in _ADDABLE if sign == "+" else one.kind in ("number", "duration")):
        return None
    verb = "joins" if sign == "+" else "subtracts"
    problem = f"{verb} {one.name}, which is {one.describe()}, and {other.name}, which is {other.describe()}"
    if sign == "+" and "text" in kinds and kinds & {"number", "flag", "time", "duration"}:
        return problem, f"write string({(other if text is one else one).written})"
    return problem, "reckon with values of one type"


def judge_product(sign: str, one: Value, other: Value) -> Problem | None:
    """Return what is wrong with ``*``, ``/`` and ``%``; None when it can be done."""
    wrong = next((each for each in (one, other) if each.known and each.kind != "number"), None)
    if wrong is None:
        return None
    return f"reckons by {sign} with {wrong.name}, which is {wrong.describe()}", "reckon with numbers"


def judge_condition(value: Value) -> Problem | None:
    """Return why a value cannot decide; None when it may be true or false."""
    if not value.known or value.kind == "flag":
        return None
    ways = {
        "list": f"write size({value.written}) > 0",
        "text": f'write {value.written} == "…", or has({value.written})',
        "number": f"write {value.written} > 0",
    }
    problem = f"uses {value.name}, which is {value.describe()}, as a condition"
    return problem, ways.get(value.kind, "write something that is true or false")


def judge_given(name: str, value: Value, kinds: tuple[str, ...], *, subject: bool) -> Problem | None:
    """Return why a function cannot take a value as its subject, or as one of the others; None when it may."""
    if not value.known or value.kind in kinds:
        return None
    problem = f"calls {name}() {'on' if subject else 'with'} {value.name}, which is {value.describe()}"
    if "time" in kinds and value.kind == "text":
        return problem, f"write timestamp({value.written})"
    if value.kind == "list" and value.element is not None and value.element.kind in kinds and subject:
        return problem, f"write {value.name}.exists(e, e.{name}(…)), or take one element: {value.name}.first()"
    if kinds == ("text",) and value.kind in ("number", "flag", "time", "duration"):
        return problem, f"write string({value.written})" if not value.literal else f'write "{value.written}"'
    wanted = " or ".join(Value(kind=kind).describe() for kind in kinds)  # type: ignore[arg-type]  # kinds of the table
    return problem, f"it takes {wanted}"


def _weigh(value: Value) -> int:
    """Return how much a sentence should be about this value: a property, something reckoned, something written out."""
    return 0 if value.literal else 1 if value.origin is None or not value.origin[1] else 2


def _find_unlike(one: Value, other: Value) -> Value | None:
    """Return an element of one list, or of the other, that can be none of the other's; None when there is none."""
    for these, those in ((one, other), (other, one)):
        kinds = {each.kind for each in _list_elements(those)}
        if not kinds or kinds & {"", "null", "record"}:
            continue
        for each in _list_elements(these):
            if each.known and each.kind not in kinds:
                return each if these is other else next(iter(_list_elements(those)))
    return None


def _list_elements(value: Value) -> tuple[Value, ...]:
    if value.items:
        return value.items
    return (value.element,) if value.element is not None and value.element.kind else ()


def _describe_place(hay: Value) -> str:
    if not hay.literal:
        return f"{hay.name}, which is {hay.describe()}"
    others = sorted({each.describe() for each in hay.items if each.known})
    return f"a list with {' and '.join(others)}"


def _advise(sign: str, subject: Value, against: Value) -> str:
    name, written = subject.name, against.written
    plain = written[1:-1] if against.literal and against.kind == "text" else ""
    kinds = {subject.kind, against.kind}
    if "text" in kinds and kinds & {"time", "duration"}:
        text = subject if subject.kind == "text" else against
        return f"write timestamp({text.written if text.literal else text.name})"
    if subject.kind == "flag":
        return (
            f"write {name} {sign} {plain.lower()}"
            if plain.lower() in ("true", "false")
            else "compare it with true or false"
        )
    if subject.kind == "list":
        return _advise_list(sign, subject, against)
    if against.kind == "list":
        found = f"{name} in {written}"
        if sign in ("==", "!=") and subject.kind == (against.element.kind if against.element else ""):
            return f"write {found}" if sign == "==" else f"write !({found})"
        return f"write size({written})" if subject.kind == "number" else _OTHERWISE
    if subject.kind == "text" and against.kind in ("number", "flag"):
        return f'write {name} {sign} "{written}"' if against.literal else f"write string({written})"
    if subject.kind == "number" and _NUMBER.fullmatch(plain):
        return f"write {name} {sign} {plain}"
    return _OTHERWISE


def _advise_list(sign: str, subject: Value, against: Value) -> str:
    name, written = subject.name, against.written
    element = subject.element.kind if subject.element else ""
    if fields := subject.list_fields():
        return f"look at its elements: {name}.exists(e, e.{fields[0]} == {written})"
    if against.kind == "number" and element != "number":
        return f"write size({name}) {sign} {written}"
    if sign in ("==", "!=") and element in ("", against.kind):
        found = f"{written} in {name}"
        return f"write {found}" if sign == "==" else f"write !({found})"
    return f"look at its elements: {name}.exists(e, e {sign} …)"


def _is_of_times(sign: str, one: str, other: str) -> bool:
    """Tell whether a sum or difference is one of times: a moment with a length, or two moments."""
    if sign == "-":
        return (one, other) in (("time", "time"), ("time", "duration"), ("duration", "duration"))
    return (one, other) in (("time", "duration"), ("duration", "time"), ("duration", "duration"))
