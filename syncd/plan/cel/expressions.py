"""CEL expressions over ``user`` and ``group``: compiled once, evaluated per object.

An attribute that the object does not have, or that is null, reads as null, also inside of another one and in elements
of lists; a list reads as an empty list. ``has()`` says whether there is a value. So it makes no difference whether
Graph leaves a property out (delta) or says null (a direct read). ``user.accountEnabled`` reads as true when the tenant
does not say. ``now`` is the time of the run. Names count in any letter case, as they do for Graph.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from syncd.model.attributes import (
    Problem,
    find_attribute_problem,
    find_near,
    join_problems,
    spell_attribute,
)
from syncd.model.graph_properties import PROPERTIES
from syncd.model.kinds import RECORD_KINDS, RecordKind, RulePurpose
from syncd.plan.cel.functions import NAMESPACES, TYPES, find_call_problem
from syncd.plan.cel.judging import find_mismatches
from syncd.plan.cel.library import cel
from syncd.plan.cel.literals import find_literal_problem
from syncd.plan.cel.reading import FAILURES, Reading, explain_failure, word_error
from syncd.plan.cel.references import NOW, References, find_references
from syncd.plan.cel.rewriting import rewrite
from syncd.plan.cel.shapes import complete, has_value, make_element_shape, make_shape, show

EVALUATION = 2
"""Which way of reading expressions this is. When it changes, everybody has to be looked at again."""


class ExpressionFailed(Exception):
    """An expression could not be evaluated for one object; the message says why."""


class Expression:
    """A compiled expression over one variable."""

    def __init__(self, text: str) -> None:
        """Compile; raises ValueError with the parser's words, or with what a rule cannot look at."""
        self.text = text
        found = _read(text)
        if wrong := _describe_names(found):
            raise ValueError(wrong)
        self.uses_now = found.uses_now
        self.attributes: Mapping[RecordKind, frozenset[str]] = {
            name: frozenset(spell_attribute(name, path[0]) for path in found.paths[name]) for name in RECORD_KINDS
        }
        """Properties as Graph spells them: they are selected, and tracked."""
        self._shapes = {name: make_shape(found, name) for name in RECORD_KINDS}
        self._elements = make_element_shape(found)
        first, again = rewrite(found), rewrite(found, again=True)
        self._reading = Reading(first)
        self._again = Reading(again) if again.text != first.text or self._elements.inner else None

    def evaluate(self, variable: RecordKind, attributes: Mapping[str, Any], *, now: datetime | None = None) -> Any:
        """Return the value for one object at a time; raises ExpressionFailed.

        Raises ValueError for an expression over ``now`` without a time: that is a mistake of the program.
        """
        if self.uses_now and now is None:
            raise ValueError(f"'{self.text}' looks at now, and no time was given")
        shown = show(attributes, self._shapes[variable], variable)
        known: dict[str, Any] = {variable: shown} if now is None else {variable: shown, NOW: now}
        try:
            return self._reading.run(known)
        except FAILURES as error:
            failure = error
        if self._again is not None:
            with contextlib.suppress(*FAILURES):
                return self._again.run({**known, variable: complete(shown, self._elements)})
        empty = sorted(name for name, value in shown.items() if not has_value(value))
        raise ExpressionFailed(f"'{self.text}' fails: {explain_failure(failure, empty)}") from failure

    def test(self, variable: RecordKind, attributes: Mapping[str, Any], *, now: datetime | None = None) -> bool:
        """Return the value as a condition; anything but true or false raises ExpressionFailed."""
        value = self.evaluate(variable, attributes, now=now)
        if isinstance(value, bool):
            return value
        raise ExpressionFailed(f"'{self.text}' gives {value!r}, which is neither true nor false")


def find_problem(text: str, entity: RecordKind, purpose: RulePurpose = "value") -> Problem | None:
    """Return everything why an expression cannot be used in a rule for users or for groups, and the ways out.

    None when it can. Names, functions, the schema and the kinds of values are asked; whether Graph tells a property
    that is newer than the schema is not.
    """
    try:
        found = _read(text)
    except ValueError as error:
        return f"is no usable CEL expression: {error}", "correct the expression"
    other: RecordKind = "group" if entity == "user" else "user"
    problems: list[Problem | None] = []
    if wrong := _describe_names(found):
        problems.append((f"is no usable CEL expression: {wrong}", "correct the expression"))
    if found.paths[other]:
        problems.append((f"looks at {other}, but decides about {entity}s", f"use attributes of {entity}"))
    problems += [find_call_problem(call) or find_literal_problem(call, text) for call, _ in found.calls]
    problems += [find_attribute_problem(entity, path) for path in sorted(found.paths[entity])]
    problems += find_mismatches(text, purpose)
    return join_problems(problems)


def _read(text: str) -> References:
    """Return what an expression looks at; raises ValueError where the library, or we, cannot read it."""
    try:
        found = find_references(text)
        cel.compile(rewrite(found).text)
    except (ValueError, RuntimeError) as error:
        try:
            cel.compile(text)  # its words should be about what was written
        except (ValueError, RuntimeError) as written:
            raise ValueError(word_error(written)) from written
        raise ValueError(word_error(error)) from error
    return found


def _describe_names(found: References) -> str:
    """Say what is wrong with the names of an expression; empty when nothing is."""
    wrong: list[str] = []
    if found.unknown:
        hints = sorted(hint for name in found.unknown if (hint := _guess_name(name)))
        wrong.append(
            f"unknown name {', '.join(sorted(found.unknown))}: an expression sees 'user' or 'group', and 'now'"
        )
        wrong += [f"did you mean {', '.join(hints)}?"] if hints else []
    wrong += [
        f'looks at {variable} as a whole: name the attributes ({variable}.mail, {variable}["mail"]), '
        f"and ask for a value by has({variable}.mail)"
        for variable in sorted(found.whole)
    ]
    return "; ".join(wrong)


def _guess_name(name: str) -> str | None:
    near = find_near(name, {*RECORD_KINDS, NOW})
    if near is not None:
        return near
    for variable in RECORD_KINDS:
        spelled = spell_attribute(variable, name)
        if spelled in PROPERTIES[variable]:
            return f"{variable}.{spelled}"
    return find_near(name, TYPES | NAMESPACES)
