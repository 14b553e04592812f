"""The documentation holds together: links resolve, pages are found from the map, and each has the form of its kind."""

from __future__ import annotations

import re
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from syncd.cli.main import _COMMANDS
from tests.unit import pages
from tools.reference_settings import list_keys

PAGES = pages.list_pages()
BELOW_DOCS = [page for page in PAGES if page.is_relative_to(pages.DOCS)]
HOW_TOS = sorted((pages.DOCS / "how-to").glob("*.md"))
README = pages.ROOT / "README.md"
INDEX = pages.DOCS / "index.md"
SHORT = {"decisions", "runbooks"}
"""Folders whose pages may be short: a record of one decision, what to do about one alert."""


def _name(page: object) -> str:
    return str(page).removeprefix(f"{pages.ROOT}/")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """To a file of the project, and to a heading of it where the link names one."""
    dead = []
    for target in pages.list_links(page):
        file, anchor = pages.resolve(page, target)
        if not file.is_file() or (anchor and anchor not in pages.list_anchors(file)):
            dead.append(target)
    assert dead == []


def test_every_page_is_reachable_from_the_map() -> None:
    """Whoever starts at docs/index.md finds each page by following links."""
    found, waiting = {INDEX}, deque([INDEX])
    while waiting:
        page = waiting.popleft()
        files = {pages.resolve(page, target)[0] for target in pages.list_links(page)}
        new = {file for file in files if file.suffix == ".md" and file.is_file()} - found
        found |= new
        waiting.extend(new)
    assert [_name(page) for page in PAGES if page not in found and page != README] == []


def test_every_how_to_stands_in_the_map() -> None:
    """Nobody has to know on which other page it is mentioned; who is missing comes first."""
    listed = [target for target in pages.list_links(INDEX) if target.startswith("how-to/")]
    assert sorted(listed) == [f"how-to/{page.name}" for page in HOW_TOS]
    assert listed[0] == "how-to/who-is-missing.md"


def test_every_command_has_a_how_to() -> None:
    """And the two that only print a text for other programs have theirs."""
    text = "".join(page.read_text(encoding="utf-8") for page in HOW_TOS)
    assert [name for name in [*_COMMANDS, "config schema"] if not re.search(rf"\bsyncd {name}\b", text)] == []


def test_readme_can_be_read_in_two_minutes() -> None:
    """It has at most 150 lines, and the list of all pages is one click away."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150
    assert "docs/index.md" in pages.list_links(README)


@pytest.mark.parametrize("page", BELOW_DOCS, ids=_name)
def test_a_page_has_the_length_of_one_question(page: Path) -> None:
    """What grows beyond three hundred lines is two pages; what has few is a section of another."""
    lines = len(page.read_text(encoding="utf-8").splitlines())
    assert lines <= 300
    assert lines >= 40 or SHORT & set(page.relative_to(pages.DOCS).parts)


@pytest.mark.parametrize("page", HOW_TOS, ids=_name)
def test_a_how_to_begins_with_the_question_then_the_commands_then_the_rules(page: Path) -> None:
    """Whoever has the question finds first what to type, and what holds about it below."""
    text = page.read_text(encoding="utf-8")
    paragraphs = re.split(r"\n\n+", text)
    assert paragraphs[0].startswith("# ")
    assert "?" in paragraphs[1]
    first_block, rules = text.find("```"), text.find("\n## Rules")
    assert 0 < first_block < rules


def test_setting_up_entra_takes_a_page_that_can_be_read_at_once() -> None:
    """The straight road has less than 400 words; everything else is on a page of its own."""
    assert len(pages.read("how-to/set-up-entra.md").split()) < 400


_FOLDERS = [
    "syncd",
    "tests",
    "tools",
    "migrations",
    "deploy",
    "docs",
    "plan",
    "model",
    "unit",
    "contract",
    "property",
    "fault",
    "e2e",
    "container",
]
_PATH = re.compile(rf"`((?:{'|'.join(_FOLDERS)})/[\w./-]*)`")
PATHS = [pages.ROOT / "CONTRIBUTING.md", pages.DOCS / "explanation/guarantees.md"]
PATHS += sorted((pages.DOCS / "development").glob("*.md"))


@pytest.mark.parametrize("page", PATHS, ids=_name)
def test_every_file_that_a_page_for_developers_names_is_there(page: Path) -> None:
    """Also without the ``syncd/`` or ``tests/`` in front: a file that moves takes its mention along."""
    named = _PATH.findall(pages.strip_blocks(page.read_text(encoding="utf-8")))
    homes = (pages.ROOT, pages.ROOT / "syncd", pages.ROOT / "tests")
    assert [path for path in named if not any((home / path).exists() for home in homes)] == []


def _list_blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for indent, block in re.findall(
            rf"^( *)```{language}\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            yield page, "\n".join(line.removeprefix(indent) for line in block.splitlines())


def _list_leaves(table: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _list_leaves(value, f"{key}.")
        elif isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            for entry in value:
                yield from _list_leaves(entry, f"{key}.")
        else:
            yield key


def list_unknown(table: Mapping[str, object]) -> set[str]:
    """Return the keys of a configuration that are no settings."""
    keys = {*list_keys(), *(f"{key}_file" for key in list_keys())}
    return set(_list_leaves(table)) - keys


@pytest.mark.parametrize(("page", "text"), list(_list_blocks("toml")), ids=_name)
def test_a_configuration_that_is_shown_can_be_copied(page: Path, text: str) -> None:
    """It is TOML, and every key of it is a setting."""
    keys = set(list_keys())
    assert {
        leaf for leaf in _list_leaves(tomllib.loads(text)) if leaf.removesuffix("_file") not in keys
    } - keys == set()
