"""The sentences of the errors, found in the program's text: every one that becomes an error of ``syncd.errors``.

Also those that are put into a variable before, that a helper beside the error makes, that a class chosen at run time is
raised with, that are gathered in a list of problems, and those about single settings (`syncd.config.problem`). What
differs from case to case is shown as …. An error that only hands on what another one says has no sentence of its own.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from syncd import errors
from tools.reference_table import escape

_SOURCE = Path(__file__).resolve().parents[1] / "syncd"
_SIDES = ("bps", "graph", "http", "mail.py", "webhook.py")
"""What stands between syncd and the two sides; everything else is syncd's own."""
_CLASSES = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, Exception)}
_SETTINGS = {"Absent", "Refused"}
USAGE = {"UsageError", "BadParameter", "ClickException"}
"""What the command line refuses with; `tools.reference_usage` lists it."""
_HEAD = ["| message | error | what to do |", "|---|---|---|"]
_SETTINGS_HEAD = ["| what is said of the setting | what it says to do | what is behind it |", "|---|---|---|"]
_LEAST_WORDS = 3
"""A text with fewer fixed words says nothing by itself; of a setting the key says the rest."""
_LEAST_OF_SETTING = 2
_LEAST_OF_HELPER = 6
"""What a helper adds to a sentence may be the name of a side only."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def make_table_of_sides(kept: Mapping[str, str]) -> list[str]:
    """Return a table of what is said about the two sides and the way to them."""
    return _make_table(kept, of_sides=True)


def make_own_table(kept: Mapping[str, str]) -> list[str]:
    """Return a table of everything else."""
    return _make_table(kept, of_sides=False)


def make_settings_table(kept: Mapping[str, str]) -> list[str]:
    """Return a table of what is said about single settings, with the ways out that the program names."""
    lines = list(_SETTINGS_HEAD)
    for what, remedies in sorted(list_problems().items()):
        cell = f"`{escape(what)}`"
        ways = "; ".join(f"`{escape(remedy)}`" for remedy in sorted(remedies)) or "the sentence names it"
        lines.append(f"| {cell} | {ways} | {kept.get(cell, '')} |")
    return lines


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
    for module in read_modules():
        for kind, sentence in module.find_raised():
            if kind not in _SETTINGS | USAGE and count_words(sentence) >= _LEAST_WORDS:
                found.setdefault((sentence, module.room in _SIDES), set()).add(kind)
    return found


@functools.cache
def list_problems() -> dict[str, set[str]]:
    """Return what is said about single settings, with the ways out that stand beside it."""
    found: dict[str, set[str]] = {}
    for module in read_modules():
        for what, remedies in module.find_problems():
            if count_words(what) >= _LEAST_OF_SETTING:
                found.setdefault(what, set()).update(each for each in remedies if count_words(each))
    return found


@functools.cache
def list_unfound() -> dict[str, set[str]]:
    """Return what errors are made of without words that can be read off, by module: they hand on another's."""
    found: dict[str, set[str]] = {}
    for module in read_modules():
        for made in module.find_unread():
            found.setdefault(str(module.path.relative_to(_SOURCE)), set()).add(made)
    return found


def count_words(sentence: str) -> int:
    """Return how many fixed words a sentence has."""
    return len(re.findall(r"[^\W\d_]+", sentence))


@functools.cache
def read_modules() -> tuple[_Module, ...]:
    paths = [path for path in sorted(_SOURCE.rglob("*.py")) if path.relative_to(_SOURCE).parts[0] != "sandbox"]
    modules = [_Module(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]
    own = _find_classes(module.tree for module in modules)
    for module in modules:
        module.classes = own
    return tuple(modules)


def _find_classes(trees: Iterable[ast.Module]) -> set[str]:
    """Return the names of all errors: those of the taxonomy, and what modules make of them for themselves."""
    defined = [
        (node.name, {_name(base) for base in node.bases})
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    found = _CLASSES | _SETTINGS | USAGE
    while more := {name for name, bases in defined if bases & found and name not in found}:
        found = found | more
    return found


@dataclass
class _Module:
    path: Path
    tree: ast.Module
    classes: set[str] = field(default_factory=set)

    @property
    def room(self) -> str:
        """Return the folder, or the module beside the folders, that it is in."""
        return self.path.relative_to(_SOURCE).parts[0]

    def find_raised(self) -> Iterator[tuple[str, str]]:
        """Yield every sentence with the class that it is raised as."""
        for function, call in self._iterate_calls():
            for kind in self._find_kinds(call.func, function):
                for sentence in self._spell_all(call.args[0], function):
                    yield kind, sentence
                if kind not in _SETTINGS:
                    for sentence in self._spell_helpers(call.args[0]):
                        if count_words(sentence) >= _LEAST_OF_HELPER:
                            yield kind, sentence

    def find_said(self) -> Iterator[str]:
        """Yield what commands say on stderr beside their result."""
        for function, call in self._iterate_calls():
            if _name(call.func) == "echo" and any(each.arg == "err" for each in call.keywords):
                yield from self._spell_all(call.args[0], function)

    def find_unread(self) -> Iterator[str]:
        """Yield the texts of errors of which no word can be read off."""
        for function, call in self._iterate_calls():
            if self._find_kinds(call.func, function) and not isinstance(call.args[0], ast.Constant):
                read = [*self._spell_all(call.args[0], function), *self._spell_helpers(call.args[0])]
                if not any(map(count_words, read)):
                    yield ast.unparse(call.args[0])

    def find_problems(self) -> Iterator[tuple[str, list[str]]]:
        """Yield what is wrong with a setting, and the ways out."""
        for function, call in self._iterate_calls():
            name = _name(call.func)
            if name in _SETTINGS and len(call.args) == 2:
                what, remedy = call.args
            elif name == "Problem" and len(call.args) >= 2 and self.room == "config":
                what = call.args[1]
                remedy = next((each.value for each in call.keywords if each.arg == "remedy"), ast.Constant(""))
            else:
                continue
            remedies = self._spell_remedies(remedy, function)
            for sentence in self._spell_all(what, function):
                yield sentence, remedies
        yield from self._find_handed_on()

    def _find_handed_on(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the pairs of what is wrong and the way out that functions return for settings to be refused with."""
        for node in ast.walk(self.tree):
            if not (isinstance(node, Function) and node.returns is not None and "Problem" in ast.unparse(node.returns)):
                continue
            for each in ast.walk(node):
                value = each.value if isinstance(each, ast.Return) else None
                for pair in _list_choices(value) if value is not None else ():
                    if isinstance(pair, ast.Tuple) and len(pair.elts) == 2:
                        remedies = self._spell_remedies(pair.elts[1], node)
                        for sentence in self._spell_all(pair.elts[0], node):
                            yield sentence, remedies

    def _spell_remedies(self, node: ast.expr, function: Function | None) -> list[str]:
        """Return the ways out; none where a variable may hold several, of which each belongs to another sentence."""
        found = list(self._spell_all(node, function))
        return found if len(found) == 1 or not isinstance(node, ast.Name) else []

    def _iterate_calls(self) -> Iterator[tuple[Function | None, ast.Call]]:
        for function, node in _walk(self.tree, None):
            if isinstance(node, ast.Call) and node.args:
                yield function, node

    def _find_kinds(self, called: ast.expr, function: Function | None) -> set[str]:
        """Return the classes that a call may be one of: by its name, or those that a variable was chosen from."""
        name = _name(called)
        if name in self.classes:
            return {name}
        if isinstance(called, ast.Name):
            return {kind for value in _find_assigned(function, called.id) for kind in self._list_named(value)}
        if isinstance(called, ast.Call) and _name(called.func) == "type":
            return {"SyncdError"}
        return set() if isinstance(called, ast.Attribute) else self._list_named(called)

    def _list_named(self, value: ast.expr) -> set[str]:
        """Return the classes that an expression chooses from; none where it calls them."""
        called = {id(node.func) for node in ast.walk(value) if isinstance(node, ast.Call)}
        names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name) and id(node) not in called}
        return names & self.classes

    def _spell_all(self, node: ast.expr, function: Function | None) -> Iterator[str]:
        """Yield the sentences that an expression may be: both of a choice, what a variable holds, each of a list."""
        for each in _list_choices(node):
            if isinstance(each, ast.Name) and not _is_constant(each):
                for value in _find_assigned(function, each.id):
                    if not (isinstance(value, ast.Name) and value.id == each.id):
                        yield from self._spell_all(value, None if isinstance(value, ast.Name) else function)
            elif isinstance(each, ast.List | ast.Tuple):
                for part in each.elts:
                    yield from self._spell_all(part, function)
            elif isinstance(each, ast.ListComp | ast.GeneratorExp):
                yield from self._spell_all(each.elt, function)
            elif isinstance(each, ast.BinOp) and isinstance(each.op, ast.Add):
                left, right = list(self._spell_all(each.left, function)), list(self._spell_all(each.right, function))
                yield from (f"{one or '…'}{other or '…'}" for one in left or [""] for other in right or [""])
            else:
                yield self._spell(each)

    def _spell_helpers(self, node: ast.expr) -> Iterator[str]:
        """Yield the sentences of this module's own functions that are called within a sentence."""
        for call in ast.walk(node):
            name = _name(call.func) if isinstance(call, ast.Call) else ""
            if not name.startswith("_"):
                continue
            for function in ast.walk(self.tree):
                if isinstance(function, Function) and function.name == name:
                    for each in ast.walk(function):
                        if isinstance(each, ast.Return) and each.value is not None:
                            yield from self._spell_all(each.value, function)

    def _spell(self, node: ast.expr) -> str:
        """Return the fixed words of a sentence, with … for each other part; nothing for what is no text."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.JoinedStr):
            return re.sub(r"…(?:[,; ]*…)+", "…", "".join(self._spell(part) for part in node.values))
        if isinstance(node, ast.FormattedValue):
            return self._find_constant(node.value) or "…"
        return self._find_constant(node)

    def _find_constant(self, node: ast.expr) -> str:
        """Return a text that the module knows by a name in capitals."""
        if not _is_constant(node):
            return ""
        module = importlib.import_module(".".join(self.path.relative_to(_SOURCE.parent).with_suffix("").parts))
        value = getattr(module, node.id, "") if isinstance(node, ast.Name) else ""
        return value if isinstance(value, str) else ""


def _walk(node: ast.AST, function: Function | None) -> Iterator[tuple[Function | None, ast.AST]]:
    """Yield every part of a module with the innermost function that it stands in."""
    for child in ast.iter_child_nodes(node):
        yield function, child
        yield from _walk(child, child if isinstance(child, Function) else function)


def _find_assigned(function: Function | None, name: str) -> list[ast.expr]:
    """Return what a variable of a function may hold; of a list also what is added to it."""
    return _map_assigned(function).get(name, []) if function is not None else []


@functools.cache
def _map_assigned(function: Function) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        for target, value in _list_assigned(node):
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(value)
    return found


def _list_assigned(node: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            return list(zip(targets, values, strict=False))
        case ast.Assign(targets=targets, value=value):
            return [(target, value) for target in targets]
        case ast.AnnAssign(target=target, value=value) if value is not None:
            return [(target, value)]
        case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
            return [(target, value)]
        case ast.Call(func=ast.Attribute(value=target, attr="append" | "extend"), args=[value]):
            return [(target, value)]
        case _:
            return []


def _list_choices(node: ast.expr) -> list[ast.expr]:
    """Return both ways of a choice, anything else as it is."""
    if isinstance(node, ast.IfExp):
        return [*_list_choices(node.body), *_list_choices(node.orelse)]
    if isinstance(node, ast.BoolOp):
        return [part for value in node.values for part in _list_choices(value)]
    return [node]


def _is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id.upper() == node.id


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
