"""What an expression is shown of an object: just what it looks at, with null or an empty list where there is no value.

Pure. Names are shown as they were written and looked up as Graph spells them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from syncd.model.attributes import ELEMENT, LIST_FIELDS, Path, find_kind, look_up_loosely, spell_path
from syncd.model.kinds import RecordKind
from syncd.plan.cel.references import References

_FLAG_BY_DEFAULT = ("user", "accountEnabled")


@dataclass(slots=True)
class Shape:
    """One name: how Graph spells it, whether it is a list, and what is looked at inside of it (empty: the value).

    ``loose``: the schema does not know the name, so that its letter case is anybody's guess.
    """

    source: str = ""
    _: KW_ONLY
    is_list: bool = False
    loose: bool = False
    inner: dict[str, Shape] = field(default_factory=dict)


def make_shape(found: References, variable: RecordKind) -> Shape:
    """Return what is looked at of a user or of a group."""
    shape = Shape()
    for path in sorted(found.paths[variable]):
        inner = shape
        for end, name in enumerate(path, 1):
            if name == ELEMENT:
                break
            spelled, kind = spell_path(variable, path[:end])[-1], find_kind(variable, path[:end])
            inner = inner.inner.setdefault(name, Shape(spelled, loose=kind is None))
            inner.is_list = _is_list(found, variable, path[:end])
    return shape


def make_element_shape(found: References) -> Shape:
    """Return what is looked at in elements of lists, of whatever list."""
    shape = Shape()
    paths = set(found.elements)
    for looked_at in found.paths.values():
        for path in looked_at:
            paths.update(_find_element_paths(path))
    for path in sorted(paths):
        inner = shape
        for name in path:
            inner = inner.inner.setdefault(
                name, Shape(name, is_list=name in LIST_FIELDS or name in found.element_lists)
            )
    return shape


def show(values: Mapping[str, Any], shape: Shape, variable: RecordKind) -> dict[str, Any]:
    """Return what is looked at of one object."""
    shown = _show(values, shape)
    for name, inner in shape.inner.items():
        if (variable, inner.source) == _FLAG_BY_DEFAULT:  # an account of which the tenant does not say counts as one
            shown[name] = shown[name] is not False
    return shown


def complete(value: Any, elements: Shape) -> Any:
    """Return a value in which elements of lists have everything that is looked at in elements, null where it is not."""
    if isinstance(value, list):
        return [_complete_element(each, elements, elements) for each in value]
    if isinstance(value, Mapping):
        return {name: complete(inner, elements) for name, inner in value.items()}
    return value


def has_value(value: Any) -> bool:
    """Return what ``has()`` says: null, an empty list and an object without any value are no values."""
    if isinstance(value, Mapping):
        return any(has_value(inner) for inner in value.values())
    return value is not None and value != []


def _is_list(found: References, variable: RecordKind, path: Path) -> bool:
    """Return whether no value means an empty list: by the schema, a macro, or its place where both say nothing."""
    kind = find_kind(variable, path)
    if kind is not None and kind.many:
        return True
    return path in found.lists[variable] or (kind is None and path in found.list_places[variable])


def _find_element_paths(path: Path) -> Iterable[Path]:
    parts: list[list[str]] = [[]]
    for name in path:
        if name == ELEMENT:
            parts.append([])
        else:
            parts[-1].append(name)
    return (tuple(part) for part in parts[1:] if part)


def _show(values: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, inner in shape.inner.items():
        value = look_up_loosely(values, inner.source) if inner.loose else values.get(inner.source)
        if inner.inner and (value is None or isinstance(value, Mapping)):
            shown[name] = _show(value or {}, inner)
        else:
            shown[name] = [] if value is None and inner.is_list else value
    return shown


def _complete_element(value: Any, shape: Shape, elements: Shape) -> Any:
    if isinstance(value, list):
        return complete(value, elements)
    if not isinstance(value, Mapping):
        return value
    found = {name: complete(inner, elements) for name, inner in value.items()}
    spellings = {name.casefold(): name for name in found}
    for name, inner in shape.inner.items():
        known = found.get(spellings.get(name.casefold(), name))
        if inner.inner and (known is None or isinstance(known, Mapping)):
            found[name] = _complete_element(known or {}, inner, elements)
        else:
            found[name] = [] if known is None and inner.is_list else known
    return found
