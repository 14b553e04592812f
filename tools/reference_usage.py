"""What the command line says on stderr: what it refuses, also by its library, and what it tells beside a result.

The sentences of our own are found as those of errors are. Those of the library (click) are found in its text: what it
refuses the words of a person with, but for what no command of ours lets it ask for.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import click

from tools.reference_errors import USAGE, count_words, read_modules
from tools.reference_table import escape

_HEAD = ["| message | said by | what to do |", "|---|---|---|"]
_MODULES = ("core", "exceptions", "parser", "types")
_REFUSALS = {
    "fail",
    "UsageError",
    "BadOptionUsage",
    "BadArgumentUsage",
    "BadParameter",
    "NoSuchOption",
    "NoSuchCommand",
}
_HANDED_ON = ("plan/report/history.py",)
"""Modules whose words `--at` is refused with."""
_NEVER = re.compile(
    r"format|UUID|boolean|values|iterable|open file|executable|unknown error|[Mm]issing parameter|value: …|^Missing …$"
)
"""Days, ids, flags, open files and lists of values as types of the library, which no command of ours has."""


def make_usage_table(kept: Mapping[str, str]) -> list[str]:
    """Return a table of what is refused before a command begins."""
    own = dict.fromkeys(list_usage(), "syncd")
    library = dict.fromkeys(list_of_library(), "the library")
    lines = list(_HEAD)
    for sentence, by in sorted((own | library).items()):
        cell = f"`{escape(sentence)}`"
        lines.append(f"| {cell} | {by} | {kept.get(cell, '')} |")
    return lines


def make_said_table(kept: Mapping[str, str]) -> list[str]:
    """Return a table of what commands say on stderr beside their result."""
    lines = ["| message | what it means |", "|---|---|"]
    for sentence in list_said():
        cell = f"`{escape(sentence)}`"
        lines.append(f"| {cell} | {kept.get(cell, '')} |")
    return lines


@functools.cache
def list_usage() -> list[str]:
    """Return every sentence with which we refuse the words of a command."""
    found = set[str]()
    for module in read_modules():
        handed_on = {"ValueError"} if str(module.path).endswith(_HANDED_ON) else set()
        seen = replace(module, classes=module.classes | handed_on)
        found |= {sentence for kind, sentence in seen.find_raised() if kind in USAGE | handed_on}
    return sorted(each for each in found if count_words(each) > 1)


@functools.cache
def list_said() -> list[str]:
    """Return every sentence that a command says on stderr and goes on."""
    found = {sentence for module in read_modules() for sentence in module.find_said()}
    return sorted(each for each in found if count_words(each.removeprefix("syncd: ")) > 1)


@functools.cache
def list_of_library() -> list[str]:
    """Return the sentences of the library that a person can meet."""
    folder = Path(click.__file__).parent
    found = {
        sentence
        for name in _MODULES
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8")))
        for sentence in _find_translated(node, name)
    }
    return sorted(each for each in found if not _NEVER.search(each))


def _find_translated(node: ast.AST, module: str) -> Iterator[str]:
    """Yield the texts for people in a refusal; in the module of the errors every text is one."""
    if module == "exceptions":
        calls: Iterator[ast.AST] = iter([node])
    elif _is_refusal(node):
        calls = ast.walk(node)
    else:
        return
    for call in calls:
        if isinstance(call, ast.Call) and _name(call.func) in ("_", "ngettext"):
            for text in call.args[:1]:
                sentence = re.sub(r"\{[^{}]*\}", "…", str(text.value)) if isinstance(text, ast.Constant) else ""
                if sentence and not sentence.startswith(("Error", "Try", "Did you", "(Did")):
                    yield sentence


def _is_refusal(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name.startswith("get_invalid")
    return isinstance(node, ast.Call) and _name(node.func) in _REFUSALS


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
