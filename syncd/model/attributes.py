"""Which properties of users and groups a rule may look at, and how Microsoft Graph spells them.

A path is a property with what is looked at inside of it; ``ELEMENT`` stands for any element of a list. Graph takes
names in any letter case and answers in its own spelling, so every name that the table knows is brought to that spelling
before it is compared. Open and schema extensions are not tracked by delta queries (known issues); directory extensions
are.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from syncd.model.graph_properties import OBJECTS, PROPERTIES, RELATIONS, UNTOLD, UNTRACKED, Kind
from syncd.model.kinds import RecordKind

Path = tuple[str, ...]
Problem = tuple[str, str]
"""What is wrong, and the way out."""

ELEMENT = "*"

IDENTIFIERS = ("employeeId", "onPremisesImmutableId", "onPremisesSecurityIdentifier")
"""Attributes of users of which the same value in two says that both are one human being."""

COLLECTIONS: Mapping[RecordKind, frozenset[str]] = {
    entity: frozenset(name for name, kind in properties.items() if kind.many)
    for entity, properties in PROPERTIES.items()
}
"""Properties that are lists. One that was never set is absent from a delta and empty in a list; here it is empty."""

LIST_FIELDS = frozenset(name for fields in OBJECTS.values() for name, kind in fields.items() if kind.many)
"""Names that are lists inside of objects."""

_ON_PREMISES = "onPremisesExtensionAttributes"
_DIRECTORY_EXTENSION = re.compile(r"extension_[0-9a-f]{32}_\w+", re.ASCII | re.IGNORECASE)
_NEAR, _NEAR_SHORT = 0.8, 0.7


def _fold(names: Iterable[str]) -> dict[str, str]:
    return {name.casefold(): name for name in names}


_SPELLINGS = {entity: _fold(properties) for entity, properties in PROPERTIES.items()}
_FIELD_SPELLINGS = {type_name: _fold(fields) for type_name, fields in OBJECTS.items()}
_FIELDS = frozenset(name for fields in OBJECTS.values() for name in fields)
_UNTRACKED = {entity: _fold(names) for entity, names in UNTRACKED.items()}
_UNTOLD = {entity: _fold(names) for entity, names in UNTOLD.items()}
_RELATIONS = _fold(name for names in RELATIONS.values() for name in names)


def is_directory_extension(name: str) -> bool:
    """Return whether this is the full name of a directory extension: ``extension_APPID_NAME``."""
    return _DIRECTORY_EXTENSION.fullmatch(name) is not None


def spell_attribute(entity: RecordKind, name: str) -> str:
    """Return a property as Graph spells it; a name that the table does not know stays as it is."""
    return _SPELLINGS[entity].get(name.casefold(), name)


def spell_path(entity: RecordKind, path: Sequence[str]) -> Path:
    """Return a path as Graph spells it, as far as the table knows it."""
    return _walk(entity, path)[0]


def merge_spellings(names: Iterable[str]) -> tuple[str, ...]:
    """Return names sorted, each once whatever its letter case: Graph refuses, or repeats, what is selected twice."""
    return tuple(sorted({name.casefold(): name for name in sorted(names, reverse=True)}.values()))


def find_kind(entity: RecordKind, path: Sequence[str]) -> Kind | None:
    """Return what the schema says about the last part of a path; None when it says nothing."""
    return _walk(entity, path)[1]


def look_up(values: Mapping[str, Any], name: str) -> Any:
    """Return the value of a property; a directory extension is found in any letter case, since its own is not known."""
    return look_up_loosely(values, name) if is_directory_extension(name) else values.get(name)


def look_up_loosely(values: Mapping[str, Any], name: str) -> Any:
    """Return the value of a name of which the schema does not know the letter case."""
    value = values.get(name)
    if value is None:
        wanted = name.casefold()
        return next((found for key, found in values.items() if key.casefold() == wanted), None)
    return value


def find_attribute_problem(entity: RecordKind, path: Sequence[str]) -> Problem | None:
    """Return why a rule cannot follow a property, and the way out; None when it can.

    A name that neither the table nor anything like it knows is left to Graph, which refuses the selection by name.
    """
    head, *inner = path
    folded = head.casefold()
    annotation = next((part for part in path if "@" in part), None)
    if annotation is not None:
        way_out = "scope.agents decides about subtypes of user" if entity == "user" else "use a property of the group"
        return f"uses {annotation}, which is an annotation and no property", way_out
    if folded in _UNTRACKED[entity]:
        return f"uses {head}, whose changes Microsoft Graph does not report", "use another attribute"
    if folded in _UNTOLD[entity]:
        return f"uses {head}, which Microsoft Graph never returns", "use another attribute"
    if folded in _RELATIONS:
        return f"uses {head}, which is a relation and no attribute", "use an attribute with a value of its own"
    if "_" in head and not is_directory_extension(head):
        return (
            f"uses {head}, which is no directory extension; changes of schema extensions are not reported",
            "write extension_APPID_NAME, APPID being the 32 hexadecimal digits of the owning application's client id",
        )
    if folded not in _SPELLINGS[entity]:
        return _judge_unknown(entity, head, inner)
    return _judge_inner(entity, [spell_attribute(entity, head), *inner])


def find_value_problem(entity: RecordKind, path: Sequence[str]) -> Problem | None:
    """Return why a property cannot be the value of a field: because it is an object, or a list of objects."""
    spelled, kind = _walk(entity, path)
    if kind is None or kind.type in ("text", "flag", "number", "time"):
        return None
    name = ".".join(spelled)
    if spelled == (_ON_PREMISES,):
        return "names no extension attribute", f"write {name}.extensionAttribute1 (1 to 15)"
    fields = sorted(OBJECTS.get(kind.type, ()))
    if kind.many:
        return f"uses {name}, which is a list of objects", f"write a CEL expression: {entity}.{name}[0].{fields[0]}"
    if not fields:
        return f"uses {name}, which is an object", f"write a CEL expression: {entity}.{name}.SET.NAME"
    return f"uses {name}, which is an object", f"write {' or '.join(f'{name}.{field}' for field in fields[:3])}"


def join_problems(problems: Iterable[Problem | None]) -> Problem | None:
    """Return several problems as one, each told once and with its way out beside it; None when there is none."""
    each = list(dict.fromkeys(problem for problem in problems if problem is not None))
    if len(each) < 2:
        return each[0] if each else None
    return "; ".join(f"{what} ({way_out})" for what, way_out in each), "correct each of them"


def find_near(name: str, known: Collection[str], *, cutoff: float = _NEAR) -> str | None:
    """Return the known name that a misspelt one most likely means, None when nothing is like it."""
    spellings = {each.casefold(): each for each in sorted(known)}
    found = difflib.get_close_matches(name.casefold(), spellings, n=1, cutoff=cutoff)
    return spellings[found[0]] if found else None


def _walk(entity: RecordKind, path: Sequence[str]) -> tuple[Path, Kind | None]:
    """Follow a path through the schema, as far as it knows the way."""
    head, *inner = path
    spelled = [spell_attribute(entity, head)]
    kind = PROPERTIES[entity].get(spelled[0])
    for part in inner:
        if part == ELEMENT:
            kind = Kind(kind.type) if kind is not None and kind.many else None
            spelled.append(part)
            continue
        fields = OBJECTS.get(kind.type, {}) if kind is not None and not kind.many else {}
        spelled.append(_FIELD_SPELLINGS[kind.type].get(part.casefold(), part) if fields and kind else part)
        kind = fields.get(spelled[-1])
    return tuple(spelled), kind


def _judge_unknown(entity: RecordKind, name: str, inner: Sequence[str] = ()) -> Problem | None:
    """Judge a name that the table does not know; ``inner``: what is looked at inside of it.

    Newer properties are left to Graph. What would hold a property of the whole is none: it is the object, misspelt.
    """
    meant = spell_attribute(entity, inner[0]) if inner else ""
    if (meant in PROPERTIES[entity] and meant not in _FIELDS) or (
        inner and find_near(name, ("user", "group"), cutoff=_NEAR_SHORT)
    ):
        what = f"uses {name}, which is no property with {inner[0]} in it"
        return what, f"did you mean {meant if meant in PROPERTIES[entity] else f'{entity}.{inner[0]}'}?"
    other: RecordKind = "group" if entity == "user" else "user"
    folded = name.casefold()
    if folded in _SPELLINGS[other]:
        return f"uses {name}, which {other}s have and {entity}s have not", f"use an attribute of {entity}"
    usable = PROPERTIES[entity].keys() - UNTRACKED[entity] - UNTOLD[entity]
    paths = {
        field.casefold(): f"{name}.{field}"
        for name in sorted(usable)
        if not (kind := PROPERTIES[entity][name]).many
        for field in OBJECTS.get(kind.type, ())
    }
    near = paths.get(folded) or find_near(name, usable)
    if near is None:
        return None
    return f"uses {name}, which Microsoft Graph v1.0 does not know", f"did you mean {near}?"


def _judge_inner(entity: RecordKind, path: Sequence[str]) -> Problem | None:
    """Judge what is looked at inside of a property that the table knows."""
    for end in range(1, len(path)):
        outer, part = path[:end], path[end]
        name = ".".join(each for each in outer if each != ELEMENT)
        kind = find_kind(entity, outer)
        if kind is None:
            return None
        if kind.many and part != ELEMENT:
            example = sorted(OBJECTS.get(kind.type, ()))
            condition = f"e.{example[0]} == " if example else "e == "
            return (
                f"looks at {part} in {name}, which is a list",
                f'look at its elements: {entity}.{name}.exists(e, {condition}"…")',
            )
        if kind.many:
            continue
        if kind.type in ("text", "flag", "number", "time"):
            what = "an element of a list" if part == ELEMENT else part
            return f"looks at {what} in {name}, which is {_describe(kind)}", f"use {name} itself"
        fields = OBJECTS.get(kind.type)
        if fields is None or part == ELEMENT:
            return None
        if part.casefold() not in _FIELD_SPELLINGS[kind.type]:
            if name == _ON_PREMISES:
                return "names no extension attribute", f"write {_ON_PREMISES}.extensionAttribute1 (1 to 15)"
            near = find_near(part, fields, cutoff=0.6)
            choice = f"did you mean {near}?" if near else f"it has {', '.join(sorted(fields))}"
            return f"looks at {part} in {name}, which has no such value", choice
    return None


def _describe(kind: Kind) -> str:
    return {"flag": "true or false", "number": "a number"}.get(kind.type, "a text")
