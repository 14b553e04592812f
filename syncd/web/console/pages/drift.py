"""What was changed by hand in the portal, as far as the store knows: the portal is not asked."""

from __future__ import annotations

from collections.abc import Iterator

from syncd.plan.drift import Drift
from syncd.store.inventory.bps_ids import load_group_names
from syncd.store.reports.drift_index import load_drift
from syncd.store.reports.orphans import find_last_reading
from syncd.store.store import Store
from syncd.sync.planning.kept_by_hand import list_ours
from syncd.web.console.pages.exports import export
from syncd.web.console.view import PAGE_ROWS, Page, View

HEADINGS = ("object", "bps id", "field", "ours", "theirs", "still wanted")


def show(view: View) -> Page:
    """Return the page."""
    if page := export(view, "drift", HEADINGS, map(_make_row, _iterate(view))):
        return page
    start, scope = view.count("page") * PAGE_ROWS, list_ours(view.rules)
    counted = view.counts.load(view.database, view.rules, now=view.now)
    index = None if counted is None else counted.drift
    found = [] if index is None else load_drift(view.database, scope, index, start=start, limit=PAGE_ROWS)
    total = 0 if index is None else index.total
    of_groups = {each.bps_id for each in found if each.object not in ("user", "licence")}
    return view.render(
        "drift.html",
        title=view.texts("drift.title"),
        found=found,
        counting=counted is None,
        names=load_group_names(view.database, of_groups),
        total=total,
        start=start,
        page=view.count("page"),
        more=start + PAGE_ROWS < total,
        policy=view.settings.policy.drift,
        seen_at=find_last_reading(view.database),
    )


def _iterate(view: View) -> Iterator[Drift]:
    store = Store(view.database)
    for chunk in store.drift.iterate_drift(list_ours(view.rules)):
        yield from chunk
    for chunk in store.licences.iterate_taken_licences():
        yield from chunk


def _make_row(each: Drift) -> tuple[object, ...]:
    return each.object, each.bps_id, each.field, each.ours, each.theirs, "yes" if each.wanted else "no"
