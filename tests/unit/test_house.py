"""The rooms of the program, as far as the import linter does not hold them."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _iterate_type_imports(package: str) -> Iterator[tuple[str, str]]:
    """Yield (file, module) of what is imported for types only."""
    for path in sorted((ROOT / "syncd" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                for each in node.body:
                    if isinstance(each, ast.ImportFrom) and each.module:
                        yield str(path.relative_to(ROOT)), each.module


def test_use_cases_name_only_the_store_for_types() -> None:
    """The import contracts do not look at imports for types, so that this is the only exception they get."""
    found = set(_iterate_type_imports("sync"))
    assert found, "the use cases are handed a store"
    assert not [each for each in found if not each[1].startswith("syncd.store.")]
    assert not set(_iterate_type_imports("model")) | set(_iterate_type_imports("plan"))


def test_the_kinds_of_record_are_spelled_out_once() -> None:
    """Whoever needs them takes ``RecordKind``; the sandbox shares nothing with what it tests."""
    files = [path for path in sorted((ROOT / "syncd").rglob("*.py")) if "sandbox" not in path.parts]
    spelling = [path.name for path in files if 'Literal["user", "group"]' in path.read_text(encoding="utf-8")]
    assert spelling == ["kinds.py"]


def _list_values(node: ast.AST) -> list[str]:
    """Return the types of what a function or the constructor of a dataclass takes by position."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        taken = [each for each in (*node.args.posonlyargs, *node.args.args) if each.arg not in ("self", "cls")]
        return [ast.unparse(each.annotation) if each.annotation else "" for each in taken]
    if isinstance(node, ast.ClassDef):
        marks = " ".join(ast.unparse(each) for each in node.decorator_list)
        if marks.startswith("dataclass") and "kw_only=True" not in marks:
            types = [ast.unparse(each.annotation) for each in node.body if isinstance(each, ast.AnnAssign)]
            return types[: types.index("KW_ONLY")] if "KW_ONLY" in types else types
    return []


def test_what_could_change_places_is_handed_over_by_name() -> None:
    """Of more than three values no two of one type stand side by side, where swapping them would pass the types."""
    found = []
    for path in sorted((ROOT / "syncd").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if "sandbox" not in path.parts else ():
            values = _list_values(node)
            if len(values) > 3 and any(one == other for one, other in pairwise(values)):
                found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert found == []


def test_each_forbidden_module_is_one_that_there_is() -> None:
    """A contract that names "a | b", or a module that was moved, forbids nothing."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    named = {
        (section, name)
        for section in contracts.sections()
        for name in contracts[section].get("forbidden_modules", "").split()
    }
    assert len(named) > 20
    assert [each for each in sorted(named) if not find_spec(each[1])] == []
