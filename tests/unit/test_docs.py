"""The documentation holds together: links resolve, pages are found from the map, and none is too long to read."""

from __future__ import annotations

from collections import deque

import pytest

from tests.unit import pages

PAGES = pages.list_pages()
README = pages.ROOT / "README.md"
INDEX = pages.DOCS / "index.md"


def _name(page: object) -> str:
    return str(page).removeprefix(f"{pages.ROOT}/")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_of_a_page_leads_somewhere(page: object) -> None:
    """To a file of the project, and to a heading of it where the link names one."""
    assert isinstance(page, type(INDEX))
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


def test_readme_can_be_read_in_two_minutes() -> None:
    """It has at most 150 lines; everything longer has a page of its own."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_the_readme_leads_to_the_map() -> None:
    """The list of all pages is one click away."""
    assert "docs/index.md" in pages.list_links(README)


@pytest.mark.parametrize("page", [page for page in PAGES if page.is_relative_to(pages.DOCS)], ids=_name)
def test_no_page_is_longer_than_three_hundred_lines(page: object) -> None:
    """A page answers one question; what grows beyond that is two pages."""
    assert isinstance(page, type(INDEX))
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 300
