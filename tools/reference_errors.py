"""The sentences of the errors, found in the program's text: every one that is raised as a class of ``syncd.errors``.

What differs from case to case is shown as …. An error that only hands on what another one says has no sentence of its
own.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from syncd import errors
from tools.reference_table import escape

_SOURCE = Path(__file__).resolve().parents[1] / "syncd"
_SIDES = ("bps", "graph", "http", "webhook.py")
"""What stands between syncd and the two sides; everything else is syncd's own."""
_CLASSES = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, Exception)}
_HEAD = ["| message | error | what to do |", "|---|---|---|"]
_LEAST_WORDS = 3
"""A text with fewer fixed words says nothing by itself."""


def make_table_of_sides(kept: Mapping[str, str]) -> list[str]:
    """Return a table of what is said about the two sides and the way to them."""
    return _make_table(kept, of_sides=True)


def make_own_table(kept: Mapping[str, str]) -> list[str]:
    """Return a table of everything else."""
    return _make_table(kept, of_sides=False)


def _make_table(kept: Mapping[str, str], *, of_sides: bool) -> list[str]:
    lines = list(_HEAD)
    for (sentence, of), kinds in sorted(list_sentences().items()):
        if of == of_sides:
            cell = f"`{escape(sentence)}`"
            lines.append(f"| {cell} | {', '.join(sorted(kinds))} | {kept.get(cell, '')} |")
    return lines


@functools.cache
def list_sentences() -> dict[tuple[str, bool], set[str]]:
    """Return every sentence, and whether it is about the sides, with the classes that it is raised as."""
    found: dict[tuple[str, bool], set[str]] = {}
    for path in sorted(_SOURCE.rglob("*.py")):
        room = path.relative_to(_SOURCE).parts[0]
        if room == "sandbox":
            continue
        for kind, sentence in _find_raised(path):
            if len(re.findall(r"[^\W\d_]+", sentence)) >= _LEAST_WORDS:
                found.setdefault((sentence, room in _SIDES), set()).add(kind)
    return found


def _find_raised(path: Path) -> Iterator[tuple[str, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            kind = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if kind in _CLASSES:
                first = node.args[0]
                for each in first.elts if isinstance(first, ast.List) else [first]:
                    yield kind, _spell(each, path)


def _spell(node: ast.expr, path: Path) -> str:
    """Return the fixed words of a sentence, with … for each other part; nothing for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [_spell(part, path) for part in node.values]
        return re.sub(r"…(?:[,; ]*…)+", "…", "".join(parts))
    if isinstance(node, ast.FormattedValue):
        return _find_constant(node.value, path) or "…"
    return _find_constant(node, path)


def _find_constant(node: ast.expr, path: Path) -> str:
    """Return a text that the module knows by a name in capitals."""
    if not isinstance(node, ast.Name) or node.id.upper() != node.id:
        return ""
    module = importlib.import_module(".".join(path.relative_to(_SOURCE.parent).with_suffix("").parts))
    value = getattr(module, node.id, "")
    return value if isinstance(value, str) else ""
