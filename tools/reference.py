"""``make reference``: write into the pages of the reference what the program knows about itself.

A page marks the place of a table by two comments::

    <!-- made by make reference: settings -->
    <!-- end -->

Everything between them is replaced. What only a person can say, the last column of a table, is kept row by row; a new
row begins with an empty one, and both this program and a test ask for it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools import (
    dashboard,
    reference_commands,
    reference_documents,
    reference_errors,
    reference_logs,
    reference_reasons,
    reference_sandbox,
    reference_settings,
    reference_usage,
    reference_web,
)

DOCS = Path(__file__).resolve().parents[1] / "docs"
Kept = Mapping[str, str]
"""What stood in the last column, by what stood in the first."""

MAKERS: Mapping[str, Callable[[Kept], list[str]]] = {
    "settings": reference_settings.make_tables,
    "commands": reference_commands.make_sections,
    "deciding commands": reference_commands.make_sections_of_decisions,
    "other commands": reference_commands.make_sections_of_others,
    "proving commands": reference_commands.make_sections_of_proofs,
    "shared options": reference_commands.make_shared_table,
    "documents": reference_documents.make_table,
    "errors of the sides": reference_errors.make_table_of_sides,
    "errors of syncd": reference_errors.make_own_table,
    "errors of settings": reference_errors.make_settings_table,
    "usage": reference_usage.make_usage_table,
    "said beside results": reference_usage.make_said_table,
    "reasons": reference_reasons.make_table,
    "log events": reference_logs.make_table,
    "metrics": reference_web.make_table,
    "tenant knobs": reference_sandbox.make_tenant_knobs,
    "portal knobs": reference_sandbox.make_portal_knobs,
    "operations": reference_sandbox.make_operations,
    "faults": reference_sandbox.make_faults,
    "drill faults": reference_sandbox.make_drill_faults,
}
"""What makes each part; the lines of a table end with an empty cell where nobody has written its meaning yet."""

_PART = re.compile(
    r"(?P<begin><!-- made by make reference: (?P<name>[a-z ]+) -->\n)(?P<body>.*?)(?P<end><!-- end -->)", re.DOTALL
)
_CELLS = re.compile(r"(?<!\\)\|")


def list_pages() -> list[Path]:
    """Return the pages that have a part made from the program."""
    return [page for page in sorted(DOCS.rglob("*.md")) if _PART.search(page.read_text(encoding="utf-8"))]


def remake(text: str) -> str:
    """Return the text of a page with its parts made anew. Raises KeyError for a part that nobody makes."""

    def replace(part: re.Match[str]) -> str:
        lines = MAKERS[part["name"]](read_kept(part["body"]))
        return "".join([part["begin"], "\n", "\n".join(lines), "\n\n", part["end"]])

    return _PART.sub(replace, text)


def read_kept(body: str) -> dict[str, str]:
    """Return what people wrote into the last column of the tables of a part."""
    rows = ([cell.strip() for cell in _CELLS.split(line)] for line in body.splitlines() if line.startswith("| "))
    return {row[1]: row[-2] for row in rows}


def list_unwritten(text: str) -> list[str]:
    """Return the first cell of every row in a made part that nobody has explained yet."""
    parts = (part["body"] for part in _PART.finditer(text))
    return [key for body in parts for key, last in read_kept(body).items() if not last]


def main() -> int:
    """Remake every page; with ``--check`` only say which are not as the program is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page is out of date")
    check = parser.parse_args().check
    code = max(_remake_schemas(check=check), _remake_dashboard(check=check))
    for page in list_pages():
        old = page.read_text(encoding="utf-8")
        new = remake(old)
        name = page.relative_to(DOCS.parent)
        if new != old and check:
            print(f"{name} is not what the program says: run make reference")  # noqa: T201 - a command
            code = 1
        elif new != old:
            page.write_text(new, encoding="utf-8")
            print(f"{name} is written anew")  # noqa: T201 - a command
        if unwritten := list_unwritten(new):
            print(f"{name} lacks the meaning of {', '.join(unwritten)}: write it into the last column")  # noqa: T201
            code = 1
    return code


def _remake_schemas(*, check: bool) -> int:
    stale = reference_documents.list_stale()
    for path in stale:
        name = path.relative_to(DOCS.parent)
        if check:
            print(f"{name} is not what the program says: run make reference")  # noqa: T201 - a command
        elif (text := reference_documents.make_files().get(path)) is None:
            path.unlink()
            print(f"{name} is removed: no command prints it")  # noqa: T201 - a command
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{name} is written anew")  # noqa: T201 - a command
    return int(check and bool(stale))


def _remake_dashboard(*, check: bool) -> int:
    text, stale = dashboard.encode_dashboard(), False
    for path in dashboard.FILES:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale = True
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        said = "is not what tools/dashboard.py says: run make reference" if check else "is written anew"
        print(f"{path.relative_to(DOCS.parent)} {said}")  # noqa: T201 - a command
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main())
