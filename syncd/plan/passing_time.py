"""Whom the mere passing of time concerns: about whom rules over ``now`` say something else than before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from syncd.model.kinds import RecordKind
from syncd.plan.cel.expressions import Expression, ExpressionFailed


def changes_with_time(
    attributes: Mapping[str, Any],
    variable: RecordKind,
    *,
    expressions: Iterable[Expression],
    then: datetime,
    now: datetime,
) -> bool:
    """Return whether any of these rules over ``now`` says something else of an object now than it said then."""
    return any(
        ask_rule(expression, variable, attributes, now=then) != ask_rule(expression, variable, attributes, now=now)
        for expression in expressions
    )


def ask_rule(expression: Expression, variable: RecordKind, attributes: Mapping[str, Any], *, now: datetime) -> object:
    """Return what a rule says of an object at a moment; why it cannot be asked is an answer as well."""
    try:
        return expression.evaluate(variable, attributes, now=now)
    except ExpressionFailed as error:
        return str(error)
