"""The site of the documentation: every page has its place, links are turned, nothing is loaded from elsewhere.

Building it takes packages that the tests do not have: `make site` does, and CI runs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.unit import pages
from tools import site_pages


def _list_places(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list | dict):
        for each in nav.values() if isinstance(nav, dict) else nav:
            yield from _list_places(each)


def test_the_navigation_has_every_page_once() -> None:
    """Each below docs, and those of the root folder that are no README."""
    below = [str(page.relative_to(pages.DOCS)) for page in pages.DOCS.rglob("*.md")]
    of_root = [f"project/{page.name}" for page in pages.ROOT.glob("*.md") if page.name != "README.md"]
    assert sorted(_list_places(site_pages.make_navigation())) == sorted(below + of_root)


def test_a_link_leads_to_where_its_page_stands_in_the_site() -> None:
    """Also to and from the pages of the root folder; a file that the site does not have is named."""
    assert site_pages.relink("[a](../how-to/undo.md#rules)", "reference/json.md") == "[a](../how-to/undo.md#rules)"
    assert site_pages.relink("[a](../CHANGELOG.md)", "index.md") == "[a](project/CHANGELOG.md)"
    told = site_pages.relink("[a](docs/development/tests.md)", "project/CONTRIBUTING.md")
    assert told == "[a](../development/tests.md)"
    assert site_pages.relink("[x](../../deploy/syncd.toml)", "how-to/watch.md") == "x (`deploy/syncd.toml`)"
    for kept in ("[a](https://example.com/a.md)", "[a](#rules)", "[a](mailto:a@example.com)"):
        assert site_pages.relink(kept, "index.md") == kept


def test_what_a_page_loads_from_elsewhere_is_found() -> None:
    """Scripts, styles, pictures and fonts; a link that a reader may follow is none."""
    assert site_pages.list_foreign('<a href="https://example.com">x</a><script src="../a.js"></script>') == []
    for foreign in ('<script src="https://unpkg.com/a.js">', '<link rel="stylesheet" href=//fonts.example/a.css>'):
        assert site_pages.list_foreign(foreign) == [foreign]


def test_the_settings_of_the_site_fetch_nothing_and_are_strict() -> None:
    """No fonts of a foreign host, no statistics, no comments; what MkDocs warns of is a failure."""
    text = (pages.ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert {"strict: true", "  font: false", "  version: {provider: mike}"} <= set(text.splitlines())
    keys = set(re.findall(r"^ *(\w+):", text, re.MULTILINE))
    assert not {"analytics", "consent", "extra_javascript", "extra_css"} & keys


def test_diagrams_are_no_mermaid() -> None:
    """The theme would load what draws them from a foreign host."""
    assert [page.name for page in pages.list_pages() if "```mermaid" in page.read_text(encoding="utf-8")] == []


def test_a_user_installs_nothing_of_it() -> None:
    """What builds the site stands in a lock of its own."""
    for lock in ("requirements.txt", "requirements-dev.txt", "requirements-sandbox.txt"):
        assert "mkdocs" not in (pages.ROOT / lock).read_text(encoding="utf-8")
    assert re.search(r"^mkdocs-material==.+ \\$", (pages.ROOT / "requirements-site.txt").read_text(), re.MULTILINE)
