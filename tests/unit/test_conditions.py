"""The page about conditions that once went wrong: each has its row, and what the row names is there."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from tests.conditions.__main__ import PLAYS
from tests.unit import pages

NUMBERS = {"A": 21, "B": 5, "C": 29, "D": 11, "F": 7}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in pages.read("development/conditions.md").splitlines()
    if re.match(r"\| [A-F]\d+ \|", line)
]


@functools.cache
def list_functions(path: str) -> frozenset[str]:
    """Return the names of a module's functions."""
    tree = ast.parse((pages.ROOT / "tests" / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def is_on_both(path: str, name: str) -> bool:
    """Tell whether a test, or its module, is marked to run on both engines."""
    tree = ast.parse((pages.ROOT / "tests" / path).read_text(encoding="utf-8"))
    marks = [ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            marks += map(ast.unparse, node.decorator_list)
    return any("mark.both_engines" in mark for mark in marks)


def test_every_condition_has_its_row() -> None:
    """In order, and once."""
    expected = [f"{letter}{number}" for letter, last in NUMBERS.items() for number in range(1, last + 1)]
    assert [row[0] for row in ROWS] == expected


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_test_that_a_row_names_is_there(row: list[str]) -> None:
    """A test that is renamed or taken away is missed here."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", row[-1])
    assert named
    assert len(named) == row[-1].count("`") / 2
    assert [name for path, name in named if name not in list_functions(path)] == []


@pytest.mark.parametrize("row", [row for row in ROWS if row[0][0] == "A"], ids=lambda row: row[0])
def test_who_has_access_is_asked_on_both_engines(row: list[str]) -> None:
    """By at least one of the tests of each condition."""
    assert any(is_on_both(path, name) for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", row[-1]))


def test_what_is_played_is_what_the_page_says() -> None:
    """And where a condition is not played against programs, the page says why."""
    played = {name.split()[0] for name in PLAYS}
    assert {row[0] for row in ROWS if row[2] == "yes"} == played
    assert [row[0] for row in ROWS if row[0] not in played and not re.match(r"no: \w+", row[2])] == []
