"""The pages of the documentation as tests read them: their text, their links and the anchors of their headings."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCED = re.compile(r"^( *)(```+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"``.+?``|`[^`\n]+`", re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def list_pages() -> list[Path]:
    """Return every page that people read: those of the root folder, and all below docs."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def read(page: str) -> str:
    """Return the text of a page, named by its path below docs."""
    return (DOCS / page).read_text(encoding="utf-8")


def strip_blocks(text: str) -> str:
    """Return the text without fenced blocks: what is typed and shown there is no prose."""
    return _FENCED.sub("", text)


def list_links(page: Path) -> list[str]:
    """Return the targets of the links of a page that lead to other pages of ours, in order."""
    prose = _CODE.sub("", strip_blocks(page.read_text(encoding="utf-8")))
    return [target for target in _LINK.findall(prose) if "://" not in target and not target.startswith("mailto:")]


def list_anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, made as GitHub makes them."""
    seen: dict[str, int] = {}
    for heading in _HEADING.findall(strip_blocks(page.read_text(encoding="utf-8"))):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        times = seen.get(slug, 0)
        seen[slug] = times + 1
        if times:
            seen[f"{slug}-{times}"] = 1
    return set(seen)


def resolve(page: Path, target: str) -> tuple[Path, str]:
    """Return the file and the anchor ("" for none) that a link of ``page`` leads to."""
    path, _, anchor = target.partition("#")
    return ((page.parent / path).resolve() if path else page), anchor
