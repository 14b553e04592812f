"""The manual names what the program has: headings of tables, knobs and faults of the sandbox, refusals of the login."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import get_args

import pytest

from syncd.cli.screen.change_list import PLAIN_COLUMNS
from syncd.graph.auth import login_errors
from syncd.sandbox.portal.manual_edits import OPERATIONS
from syncd.sandbox.tenant.events import operation_names
from syncd.sandbox.wire.faults import FaultKind
from syncd.sandbox.wire.knobs import PortalKnobs, TenantKnobs
from tests.unit import pages


def list_headings() -> dict[str, set[tuple[str, ...]]]:
    """Return the headings of the tables of changes in the manual, by the command that was typed above them."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for page in pages.list_pages():
        command = ""
        for line in page.read_text(encoding="utf-8").splitlines():
            if typed := re.match(r" *\$ (?:SYNCD_\S+ )*syncd (\w+)", re.sub(r"'[^']*'", "''", line)):
                command = typed[1]
            elif re.match(r" *action {2,}object", line):
                found.setdefault(command, set()).add(tuple(re.split(r" {2,}", line.strip())))
    return found


def test_examples_of_changes_have_the_columns_of_the_program() -> None:
    """Whoever compares the screen with the manual finds the same headings."""
    columns = {"plan": PLAIN_COLUMNS, "held": PLAIN_COLUMNS, "undo": PLAIN_COLUMNS}
    printed = {command: {tuple(heading for heading, _ in of)} for command, of in columns.items()}
    assert list_headings() == printed


@pytest.mark.parametrize("knobs", [TenantKnobs, PortalKnobs])
def test_every_knob_of_the_sandbox_is_listed_with_its_default(knobs: type[TenantKnobs | PortalKnobs]) -> None:
    """By its name, in the order of the program, and nothing is listed that is no knob."""
    whose = "tenant" if knobs is TenantKnobs else "portal"
    text = pages.read("reference/sandbox.md").partition(f"## Knobs of the {whose}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| `([^`]*)` \|", text, re.MULTILINE)
    assert rows == [(knob.name, _spell(knob.default)) for knob in fields(knobs)]


def _spell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def test_every_fault_and_operation_of_the_sandbox_is_listed() -> None:
    """Only what needs a function of Python's cannot be asked for from outside."""
    text = pages.read("reference/sandbox.md").partition("## Knobs of the tenant")[0]
    named = set(re.findall(r"`([\w-]+)`", text))
    assert set(get_args(FaultKind)) - {"alter"} <= named
    assert {*operation_names(), *OPERATIONS} <= named


def test_every_refusal_of_the_login_is_in_the_manual() -> None:
    """Whoever searches the page of errors for the number finds the way out."""
    text = pages.read("reference/errors.md")
    assert [number for number in login_errors._BY_NUMBER if f"`AADSTS{number}`" not in text] == []
