"""The JSON Schemas of the commands' documents, as files below docs/reference/schemas, and the list of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from syncd.cli.documents.catalogue import DOCUMENTS, make_schema

SCHEMAS = Path(__file__).resolve().parents[1] / "docs/reference/schemas"
_HEAD = ["| command | schema | document |", "|---|---|---|"]


def make_table(kept: Mapping[str, str]) -> list[str]:
    """Return the list of all schemas."""
    lines = list(_HEAD)
    for command in sorted(DOCUMENTS):
        cell = f"`{command}`"
        lines.append(f"| {cell} | [{name_file(command)}](schemas/{name_file(command)}) | {kept.get(cell, '')} |")
    return lines


def make_files() -> dict[Path, str]:
    """Return the text of each file of a schema."""
    return {
        SCHEMAS / name_file(command): json.dumps(make_schema(command), indent=2, ensure_ascii=False) + "\n"
        for command in DOCUMENTS
    }


def list_stale() -> list[Path]:
    """Return the files that are missing, not as the program is, or left over."""
    made = make_files()
    there = {path: path.read_text(encoding="utf-8") for path in SCHEMAS.glob("*")}
    return sorted(path for path in {*made, *there} if made.get(path) != there.get(path))


def name_file(command: str) -> str:
    """Return the name of the file of a command's schema."""
    return f"{command.replace(' --', '-').replace(' ', '-')}.json"
