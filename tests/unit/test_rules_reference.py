"""docs/reference/rules.md: its tables say what the schema, the functions and the CEL library really are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncd.model.graph_properties import OBJECTS, OWN_PERMISSION, PROPERTIES, RELATIONS, SCHEMA_DATE, UNTOLD, UNTRACKED
from syncd.model.kinds import RecordKind
from syncd.plan.cel.expressions import Expression, ExpressionFailed, find_problem
from syncd.plan.cel.functions import FUNCTIONS, TYPES
from syncd.plan.cel.library import add_stdlib_to_context, cel

PAGE = (Path(__file__).parents[2] / "docs/reference/rules.md").read_text()
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ENTITIES: tuple[RecordKind, ...] = ("user", "group")


def read_section(heading: str) -> str:
    """Return the text under a heading, up to the next one of the same rank or above."""
    rank = heading.partition(" ")[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(rank)}}} |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def read_rows(section: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of a section's tables, without headings."""
    for line in section.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def read_code(cell: str) -> str:
    """Return the first piece of code of a cell."""
    found = re.search(r"`(.+?)`", cell)
    assert found is not None, cell
    return found[1]


PERSON: dict[str, Any] = json.loads(PAGE.partition("```json\n")[2].partition("```")[0])
EXAMPLES = [
    (read_code(name), read_code(example), read_code(gives))
    for name, example, gives in read_rows(read_section("## Functions"))
]
DEPARTURES = list(read_rows(read_section("## Where this differs from the specification of CEL")))


@pytest.mark.parametrize(("name", "example", "gives"), EXAMPLES)
def test_each_function_does_what_its_example_says(name: str, example: str, gives: str) -> None:
    """The examples pass the check of the settings, call what they are for, and give what is written."""
    assert find_problem(example, "user") is None
    assert f"{name}(" in example
    assert Expression(example).evaluate("user", PERSON, now=NOW) == json.loads(gives)


def test_every_function_and_type_has_its_place() -> None:
    """No function is allowed without being told, and none is told that is not allowed."""
    assert {name for name, _, _ in EXAMPLES} == FUNCTIONS.keys()
    types = re.search(r"^Names of types, .*?: (.*?)\n\n", read_section("## Functions"), re.MULTILINE | re.DOTALL)
    assert types is not None
    assert set(re.findall(r"`(\w+)`", types[1])) == TYPES


@pytest.mark.parametrize(("expression", "specification", "library", "syncd"), DEPARTURES)
def test_each_departure_from_the_specification_is_as_told(
    expression: str, specification: str, library: str, syncd: str
) -> None:
    """The library by itself, and syncd, give what the table says; what syncd mends is what the specification says."""
    text = read_code(expression)
    context = cel.Context({"now": NOW})
    add_stdlib_to_context(context)
    if "refused" in library:
        with pytest.raises((ValueError, RuntimeError, ArithmeticError)):
            cel.compile(text).execute(context)
    else:
        assert cel.compile(text).execute(context) == json.loads(read_code(library))
    if syncd.startswith("refused"):
        problem = find_problem(text, "user")
        assert problem is not None
        if "`" in syncd:
            assert find_problem(read_code(syncd), "user") is None
    else:
        assert find_problem(text, "user") is None
        value = Expression(text).evaluate("user", {}, now=NOW)
        assert value == json.loads(read_code(syncd))
        if library.startswith("*") and specification.startswith("`"):
            assert value == json.loads(read_code(specification))


@pytest.mark.parametrize("entity", ENTITIES)
def test_the_lists_of_properties_are_the_table(entity: RecordKind) -> None:
    """Every property that a rule may use is listed, with what is in it; none that it may not."""
    section = read_section(f"### Of a {entity}")
    usable = PROPERTIES[entity].keys() - UNTRACKED[entity] - UNTOLD[entity]
    rows = {read_code(row[0]): row for row in read_rows(section)}
    told = {name for line in section.splitlines() if not line.startswith("|") for name in re.findall(r"`(\w+)`", line)}
    assert told | rows.keys() == usable
    for name, (_, what, inside) in rows.items():
        kind = PROPERTIES[entity][name]
        assert what == ("a list of objects" if kind.many else "an object")
        if name not in ("onPremisesExtensionAttributes", "customSecurityAttributes"):
            assert set(re.findall(r"`(\w+)`", inside)) == OBJECTS[kind.type].keys()
    assert f"schema of {SCHEMA_DATE}" in PAGE


def test_properties_with_a_permission_of_their_own_are_told() -> None:
    """With the permission that opens them."""
    rows = read_rows(read_section("### With a permission of their own"))
    assert {read_code(row[0]): read_code(row[1]) for row in rows} == {
        **OWN_PERMISSION["user"],
        **OWN_PERMISSION["group"],
    }


@pytest.mark.parametrize("entity", ENTITIES)
def test_relations_and_untracked_properties_are_refused_in_any_letter_case(entity: RecordKind) -> None:
    """All of them, in an expression and as an attribute of their own."""
    for name in sorted(RELATIONS[entity] | UNTRACKED[entity] | UNTOLD[entity]):
        for spelled in (name, name.upper(), name[0].upper() + name[1:]):
            for text in (f"{entity}.{spelled} == null", f'has({entity}["{spelled}"])'):
                problem = find_problem(text, entity)
                assert problem is not None, text
                assert spelled in problem[0]


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_usable_property_is_taken_in_any_letter_case(entity: RecordKind) -> None:
    """And asked of Graph in the spelling of the schema."""
    for name in sorted(PROPERTIES[entity].keys() - UNTRACKED[entity] - UNTOLD[entity]):
        for spelled in (name, name.upper(), name.lower()):
            text = f"{entity}.{spelled} != null"
            assert find_problem(text, entity) is None, text
            assert Expression(text).attributes[entity] == {name}


def test_a_failure_of_the_library_is_one_of_the_person() -> None:
    """What only values can tell is told for that person."""
    with pytest.raises(ExpressionFailed, match="no value in mail"):
        Expression("user.mail.size() > 0").evaluate("user", PERSON)
