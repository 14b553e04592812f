"""README shows the tables of changes under the headings that the program prints."""

from __future__ import annotations

import re
from pathlib import Path

from syncd.cli import held, plan, undo

README = Path(__file__).parents[2] / "README.md"


def list_headings() -> dict[str, set[tuple[str, ...]]]:
    """Return the headings of the tables of changes in README, by the command that was typed above them."""
    found: dict[str, set[tuple[str, ...]]] = {}
    command = ""
    for line in README.read_text(encoding="utf-8").splitlines():
        if typed := re.match(r" *\$ (?:SYNCD_\S+ )*syncd (\w+)", re.sub(r"'[^']*'", "''", line)):
            command = typed[1]
        elif re.match(r" *action {2,}object", line):
            found.setdefault(command, set()).add(tuple(re.split(r" {2,}", line.strip())))
    return found


def test_examples_of_changes_have_the_columns_of_the_program() -> None:
    """Whoever compares the screen with the manual finds the same headings."""
    columns = {"plan": plan.COLUMNS, "held": held.COLUMNS, "undo": undo.COLUMNS}
    printed = {command: {tuple(heading for heading, _ in of)} for command, of in columns.items()}
    assert list_headings() == printed
