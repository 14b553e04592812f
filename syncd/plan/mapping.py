"""How the text of a field is made of an object's attributes: each rule read once, and asked for everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from syncd.model.attributes import is_directory_extension, look_up
from syncd.model.kinds import RecordKind
from syncd.plan.cel.expressions import Expression, ExpressionFailed
from syncd.plan.texts import NoText, as_text

Attributes = Mapping[str, Any]
Making = Callable[[Attributes, RecordKind, datetime | None], str | None]
"""Makes the text of an object's attributes; None: it has no value. Raises ExpressionFailed where there is no text."""


def read_rule(attributes: Sequence[str], expression: Expression | None) -> Making:
    """Return what makes a field: the first of some attributes that is set, or the value of an expression."""
    if expression is not None:
        return _read_expression(expression)
    if any("." in path or is_directory_extension(path) for path in attributes):
        return _read_paths(attributes)
    return _read_names(tuple(attributes))


def make_text(value: Any, path: str) -> str | None:
    """Return the text of what ``path``, an attribute, is."""
    if type(value) is str:  # as nearly all are
        return value.strip() or None
    try:
        return as_text(value)
    except NoText as error:
        raise ExpressionFailed(f"{path} is {error}") from error


def _read_expression(expression: Expression) -> Making:
    def make(attributes: Attributes, kind: RecordKind, now: datetime | None) -> str | None:
        try:
            return as_text(expression.evaluate(kind, attributes, now=now))
        except NoText as error:
            raise ExpressionFailed(f"'{expression.text}' gives {error}") from error

    return make


def _read_names(names: tuple[str, ...]) -> Making:
    """Read mere names, which are looked up as they are."""

    def make(attributes: Attributes, _kind: RecordKind, _now: datetime | None) -> str | None:
        for name in names:
            value = attributes.get(name)
            if value is not None and (text := make_text(value, name)):
                return text
        return None

    return make


def _read_paths(paths: Sequence[str]) -> Making:
    """Read paths into objects, and directory extensions, whose letter case nobody knows."""
    steps = [(path, path.split(".")) for path in paths]

    def make(attributes: Attributes, _kind: RecordKind, _now: datetime | None) -> str | None:
        for path, parts in steps:
            value: Any = attributes
            for part in parts:
                value = look_up(value, part) if isinstance(value, Mapping) else None
            if value is not None and (text := make_text(value, path)):
                return text
        return None

    return make
