"""What the portal has and the tenant does not know, in four classes."""

from __future__ import annotations

from collections import Counter
from typing import cast

from syncd.plan.report.orphans import CLASSES, OrphanClass
from syncd.store.reports.orphans import Orphan, find_last_reading, iterate_orphans, load_orphans
from syncd.web.console.pages.exports import export
from syncd.web.console.view import PAGE_ROWS, Page, View

HEADINGS = ("class", "object", "bps id", "name", "would match")


def show(view: View) -> Page:
    """Return the page."""
    chosen = cast(OrphanClass | None, view.pick("class", CLASSES) or None)
    every = (each for each in iterate_orphans(view.database) if chosen in (None, each.orphan_class))
    if page := export(view, "orphans", HEADINGS, map(_make_row, every)):
        return page
    counted, start = view.counts.load(view.database, view.rules, now=view.now), view.count("page") * PAGE_ROWS
    found, counts = list[Orphan](), Counter[str]()
    if counted is not None:
        counts = counted.orphans.counts
        found = load_orphans(view.database, counted.orphans, chosen, start=start, limit=PAGE_ROWS)
    total = counts[chosen] if chosen else counts.total()
    return view.render(
        "orphans.html",
        title=view.texts("orphans.title"),
        found=found,
        counting=counted is None,
        total=total,
        counts=counts,
        classes=CLASSES,
        chosen=chosen,
        start=start,
        page=view.count("page"),
        more=start + PAGE_ROWS < total,
        seen_at=find_last_reading(view.database),
    )


def _make_row(each: Orphan) -> tuple[object, ...]:
    return each.orphan_class, each.kind, each.bps_id, each.name, each.would_match
