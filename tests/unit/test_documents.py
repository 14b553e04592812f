"""What ``--json`` prints is declared, published as JSON Schema, and compared with real documents by other tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from syncd.cli.documents.catalogue import DOCUMENTS, make_schema
from tests.documents import check_document, find_document, make_validator
from tests.unit import pages
from tools import reference_commands, reference_documents

_SAYS_NOTHING = {"completion", "config schema", "run"}
"""Commands whose output is no document of ours: a script, a schema, log lines."""
_IN_TURNS = {"sandbox"}
"""Read by a test that gives its words in turns, before and after the options (`e2e/test_commands.py`)."""
_READ_BY = {"document", "syncd", "check_document"}
"""Functions of the tests that compare what a command prints with its schema."""


def test_no_description_has_a_second_paragraph() -> None:
    """The version of Python decides how such a docstring is indented, and the schema would be another one with it."""
    schemas = list((pages.ROOT / "docs/reference/schemas").glob("*.json"))
    assert schemas
    assert [path.name for path in schemas if "\\n" in path.read_text(encoding="utf-8")] == []


def test_the_published_schemas_are_those_of_the_program() -> None:
    """Where one differs, run make reference."""
    assert [str(path.relative_to(pages.ROOT)) for path in reference_documents.list_stale()] == []


def test_each_command_with_a_document_has_a_schema() -> None:
    """A new command fails until its document is declared in syncd/cli/documents."""
    commands = {path.removeprefix("syncd ") for path, _ in reference_commands.list_commands()}
    of_sync = {command for command in commands if command.startswith("sync ")}
    declared = {name.partition(" --")[0] for name in DOCUMENTS} - {"sync"}
    assert commands - of_sync - _SAYS_NOTHING == declared
    assert of_sync


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_is_one(name: str) -> None:
    """By the draft that it names."""
    Draft202012Validator.check_schema(make_schema(name))


def test_a_document_with_another_key_or_type_is_refused() -> None:
    """In tests also a key that nobody declared; the published schema lets later versions add some."""
    told = {"file": "copy.db", "bytes": 1, "revision": "0001"}
    check_document(["backup", "copy.db", "--json"], told)
    assert not make_validator("backup").is_valid({**told, "more": 1})
    assert Draft202012Validator(make_schema("backup")).is_valid({**told, "more": 1})
    for wrong in ({**told, "bytes": "1"}, {"file": "copy.db"}):
        assert not Draft202012Validator(make_schema("backup")).is_valid(wrong)


def test_a_real_document_of_each_command_is_compared() -> None:
    """By the tests that read it, in passing: each command is among those that they call."""
    compared = {
        find_document(words) for path in (pages.ROOT / "tests").rglob("test_*.py") for words in _list_calls(path)
    }
    assert set(DOCUMENTS) - compared == _IN_TURNS


def _list_calls(path: Path) -> Iterator[list[str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in _READ_BY:
            continue
        given = node.args[0].elts if node.args and isinstance(node.args[0], ast.List) else node.args
        words = [word.value for word in given if isinstance(word, ast.Constant) and isinstance(word.value, str)]
        if any(not word.startswith("-") for word in words) and (node.func.id != "syncd" or "--json" in words):
            yield words
