"""What the portal has and the tenant does not know, in four classes."""

from __future__ import annotations

from itertools import islice

from syncd.store.reports.orphans import Orphan, find_last_reading, iterate_orphans
from syncd.web.console.pages.exports import export
from syncd.web.console.view import PAGE_ROWS, Page, View

HEADINGS = ("class", "object", "bps id", "name", "would match")
CLASSES = ("ours", "would_match", "local", "machine")


def show(view: View) -> Page:
    """Return the page."""
    chosen = view.pick("class", CLASSES)
    found = (each for each in iterate_orphans(view.database) if chosen in ("", each.orphan_class))
    if page := export(view, "orphans", HEADINGS, map(_make_row, found)):
        return page
    counts = view.counts.load(view.database, view.rules, now=view.now).orphans
    start = view.count("page") * PAGE_ROWS
    shown = list(islice(found, start, start + PAGE_ROWS + 1))
    return view.render(
        "orphans.html",
        title=view.texts("orphans.title"),
        found=shown[:PAGE_ROWS],
        total=counts.get(chosen, 0) if chosen else sum(counts.values()),
        counts=counts,
        classes=CLASSES,
        chosen=chosen,
        start=start,
        page=view.count("page"),
        more=len(shown) > PAGE_ROWS,
        seen_at=find_last_reading(view.database),
    )


def _make_row(each: Orphan) -> tuple[object, ...]:
    return each.orphan_class, each.kind, each.bps_id, each.name, each.would_match
