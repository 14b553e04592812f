"""The knobs, operations and faults of the sandbox, from its own declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from syncd.sandbox.drill.catalogue import CATALOGUE
from syncd.sandbox.portal.manual_edits import OPERATIONS
from syncd.sandbox.tenant.events import operation_names
from syncd.sandbox.wire.faults import FaultKind
from syncd.sandbox.wire.knobs import PortalKnobs, TenantKnobs

_KNOBS = ["| knob | values | default | what it imitates |", "|---|---|---|---|"]
_TYPES: Mapping[object, str] = {
    bool: "`true`, `false`",
    int: "a whole number",
    float: "a number",
    str: "a text",
    NoneType: "`null`",
}
_NEEDS_PYTHON = frozenset({"alter"})
"""Faults that need a function of Python's, so that nobody can ask for them from outside."""


def make_tenant_knobs(kept: Mapping[str, str]) -> list[str]:
    """Return the table of the tenant's knobs."""
    return _make_knobs(TenantKnobs, kept)


def make_portal_knobs(kept: Mapping[str, str]) -> list[str]:
    """Return the table of the portal's knobs."""
    return _make_knobs(PortalKnobs, kept)


def make_operations(kept: Mapping[str, str]) -> list[str]:
    """Return the table of what can be made to happen."""
    return ["| operation | what happens |", "|---|---|", *_make_rows((*operation_names(), *OPERATIONS), kept)]


def make_faults(kept: Mapping[str, str]) -> list[str]:
    """Return the table of what can be made to go wrong."""
    kinds = [kind for kind in get_args(FaultKind) if kind not in _NEEDS_PYTHON]
    return ["| fault | what happens to the request |", "|---|---|", *_make_rows(kinds, kept)]


def make_drill_faults(_kept: Mapping[str, str]) -> list[str]:
    """Return the table of what a drill plays, in the words of the catalogue itself."""
    rows = []
    for scenario in CATALOGUE:
        day = scenario.day.name if scenario.day else "nothing for good"
        rows.append(f"| `{scenario.name}` | {scenario.side} | {scenario.says} | {day} |")
    return ["| fault | side | what is done | what really happens besides |", "|---|---|---|---|", *rows]


def _make_rows(names: Iterable[str], kept: Mapping[str, str]) -> list[str]:
    return [f"| `{name}` | {kept.get(f'`{name}`', '')} |" for name in names]


def _make_knobs(knobs: type[TenantKnobs | PortalKnobs], kept: Mapping[str, str]) -> list[str]:
    hints = get_type_hints(knobs)
    lines = list(_KNOBS)
    for knob in fields(knobs):
        cell = f"`{knob.name}`"
        lines.append(f"| {cell} | {_name_values(hints[knob.name])} | `{_spell(knob.default)}` | {kept.get(cell, '')} |")
    return lines


def _name_values(hint: object) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(f"`{_spell(value)}`" for value in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return ", ".join(_name_values(each) for each in get_args(hint))
    return _TYPES[hint]


def _spell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)
