"""The log events, found in the program's text: every call of a logger with a fixed event."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.reference_table import escape

_SOURCE = Path(__file__).resolve().parents[1] / "syncd"
_LEVELS = ("debug", "info", "warning", "error", "critical")
_EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
_HANDED_ON: Mapping[str, tuple[str, str]] = {"failed": ("error", "error"), "recovered": ("info", "failures")}
"""Arguments by which `daemon.backoff` is told its events, with the level and the field that it logs each with."""
_GATHERED = "_troubles"
"""What a pull gathers its troubles in (`sync.pull.troubles`), which logs them with fields of its own."""
_OF_GATHERED = ["about", "count", "reasons", "examples", "next_word_in"]
_NO_FIELDS = frozenset({"exc_info"})
_HEAD = ["| event | level | fields | meaning |", "|---|---|---|---|"]


@dataclass(slots=True)
class Event:
    """A log event: the levels it is logged at, and every field that it may carry."""

    levels: set[str] = field(default_factory=set)
    fields: list[str] = field(default_factory=list)
    more: bool = False
    """It also carries fields that the program's text does not name."""


def make_table(kept: Mapping[str, str]) -> list[str]:
    """Return a table of all events, by name."""
    lines = list(_HEAD)
    for name, event in sorted(list_events().items()):
        cell = f"`{name}`"
        level = ", ".join(level for level in _LEVELS if level in event.levels)
        fields = [f"`{each}`" for each in event.fields] + (["…"] if event.more else [])
        lines.append(f"| {cell} | {level} | {escape(', '.join(fields) or '–')} | {kept.get(cell, '')} |")
    return lines


@functools.cache
def list_events() -> dict[str, Event]:
    """Return every event of the program but for the sandbox, which logs nothing."""
    found: dict[str, Event] = {}
    for path in sorted(_SOURCE.rglob("*.py")):
        if "sandbox" not in path.relative_to(_SOURCE).parts:
            for name, levels, fields in _find_calls(ast.parse(path.read_text(encoding="utf-8"))):
                _add(found.setdefault(name, Event()), levels, fields)
    return found


def _find_calls(tree: ast.Module) -> Iterator[tuple[str, set[str], list[str | None]]]:
    """Yield each event with its levels and the names of its fields; None: fields that are not named here."""
    aliases = {
        target.id: levels
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (levels := _name_levels(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg in _HANDED_ON and (name := _read_event(keyword.value)):
                level, more = _HANDED_ON[keyword.arg]
                yield name, {level}, [more]
        if _is_gathering(node.func) and node.args and (name := _read_event(node.args[0])):
            yield name, {"debug", "warning"}, list(_OF_GATHERED)
        levels = aliases.get(node.func.id, set()) if isinstance(node.func, ast.Name) else _name_levels(node.func)
        if levels and node.args and (name := _read_event(node.args[0])):
            yield name, levels, [keyword.arg for keyword in node.keywords]


def _name_levels(node: ast.expr) -> set[str]:
    """Return the levels of a logger's method, or of a choice between two."""
    if isinstance(node, ast.IfExp):
        return _name_levels(node.body) | _name_levels(node.orelse)
    return {node.attr} if isinstance(node, ast.Attribute) and node.attr in _LEVELS else set()


def _is_gathering(node: ast.expr) -> bool:
    if not isinstance(node, ast.Attribute) or node.attr != "note":
        return False
    return isinstance(node.value, ast.Attribute) and node.value.attr == _GATHERED


def _read_event(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _EVENT.fullmatch(node.value):
        return node.value
    return ""


def _add(event: Event, levels: set[str], fields: list[str | None]) -> None:
    event.levels |= levels
    for name in fields:
        if name is None:
            event.more = True
        elif name not in (*event.fields, *_NO_FIELDS):
            event.fields.append(name)
