"""What the site needs beside the pages below ``docs``: those of the root folder, and links that lead there.

A hook of MkDocs (``mkdocs.yml``). It takes in the pages of the root that people read, and turns links to other files of
the project, which the site does not have, into their paths. The navigation is made of the folders.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PROJECT = "project"
"""The folder of the site that has the pages of the root folder."""
OF_ROOT = ("BENCHMARKS.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
SECTIONS = {
    "Tutorial": "tutorial",
    "How-to": "how-to",
    "Runbooks": "runbooks",
    "Reference": "reference",
    "Explanation": "explanation",
    "Development": "development",
    "Decisions": "decisions",
    "Project": PROJECT,
}
_LINK = re.compile(r"(?P<before>!?\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\()(?P<target>[^)\s]+)\)")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def on_config(config: Any) -> Any:
    """Make the navigation: the map, then each folder, its index first and the others by their titles."""
    config["nav"] = make_navigation()
    return config


def make_navigation() -> list[dict[str, Any]]:
    """Return the navigation: every page of the site, once."""
    nav: list[dict[str, Any]] = [{"Map": "index.md"}]
    for title, folder in SECTIONS.items():
        pages = [ROOT / name for name in OF_ROOT] if folder == PROJECT else sorted((DOCS / folder).glob("*.md"))
        first = [f"{folder}/{page.name}" for page in pages if page.name == "index.md"]
        others = sorted((read_title(page), f"{folder}/{page.name}") for page in pages if page.name != "index.md")
        nav.append({title: [*first, *({name: place} for name, place in others)]})
    return nav


def read_title(page: Path) -> str:
    """Return the heading of a page, without its marks."""
    found = _TITLE.search(page.read_text(encoding="utf-8"))
    return found[1].replace("`", "") if found else page.stem


def on_files(files: Any, config: Any) -> Any:
    """Take in the pages of the root folder."""
    from mkdocs.structure.files import File

    for name in OF_ROOT:
        files.append(File.generated(config, f"{PROJECT}/{name}", content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let every link lead to where its page stands in the site."""
    return relink(markdown, page.file.src_uri)


def relink(markdown: str, place: str) -> str:
    """Return the text of the page at a place of the site with its links turned."""
    source = ROOT / Path(place).name if place.startswith(f"{PROJECT}/") else DOCS / place

    def turn(link: re.Match[str]) -> str:
        target, mark, anchor = link["target"].partition("#")
        if not target or "://" in link["target"] or target.startswith("mailto:"):
            return link[0]
        file = (source.parent / target).resolve()
        if file.is_relative_to(DOCS):
            there = str(file.relative_to(DOCS))
        elif file.parent == ROOT and file.name in OF_ROOT:
            there = f"{PROJECT}/{file.name}"
        else:
            return f"{link['text']} (`{file.relative_to(ROOT)}`)"
        return f"{link['before']}{os.path.relpath(there, Path(place).parent)}{mark}{anchor})"

    return _LINK.sub(turn, markdown)


def on_post_build(config: Any) -> None:
    """Refuse a site whose pages load something from elsewhere."""
    from mkdocs.exceptions import PluginError

    foreign = [
        f"{page.name}: {found}"
        for page in sorted(Path(config["site_dir"]).rglob("*.html"))
        for found in list_foreign(page.read_text(encoding="utf-8"))
    ]
    if foreign:
        raise PluginError(f"the site loads from elsewhere: {', '.join(foreign[:5])}")


def list_foreign(html: str) -> list[str]:
    """Return what a page loads by itself from another host: links that a reader follows are none of it."""
    loads = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", html)
    return [each for each in loads if re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", each)]
