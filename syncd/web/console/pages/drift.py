"""What was changed by hand in the portal, as far as the store knows: the portal is not asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from syncd.plan.drift import Drift, revert
from syncd.store.inventory.bps_ids import load_group_names, load_source_names
from syncd.store.reports.drift_index import load_drift
from syncd.store.reports.orphans import find_last_reading
from syncd.store.store import Store
from syncd.sync.planning.drift import iterate_known_drift
from syncd.sync.planning.kept_by_hand import list_ours
from syncd.web.console.pages.exports import export
from syncd.web.console.view import PAGE_ROWS, Page, View

HEADINGS = ("object", "bps id", "group name", "field", "ours", "theirs", "owned for", "left as it is because")


def show(view: View) -> Page:
    """Return the page."""
    if page := export(view, "drift", HEADINGS, _iterate_rows(view)):
        return page
    start, scope = view.count("page") * PAGE_ROWS, list_ours(view.rules)
    counted = view.counts.load(view.database, view.rules, now=view.now)
    index = None if counted is None else counted.drift
    found = [] if index is None else load_drift(view.database, scope, index, start=start, limit=PAGE_ROWS)
    total = 0 if index is None else index.total
    return view.render(
        "drift.html",
        title=view.texts("drift.title"),
        found=[(each, _find_left(view, each)) for each in found],
        counting=counted is None,
        names=_name_groups(view, found),
        total=total,
        start=start,
        page=view.count("page"),
        more=start + PAGE_ROWS < total,
        policy=view.settings.policy.drift,
        seen_at=find_last_reading(view.database),
    )


def _iterate_rows(view: View) -> Iterator[tuple[object, ...]]:
    for found in iterate_known_drift(Store(view.database), list_ours(view.rules)):
        names = _name_groups(view, found)
        owners = load_source_names(view.database, {each.source_key for each in found if each.source_key is not None})
        for each in found:
            name = names.get(each.bps_id)
            owner = owners.get(each.source_key) if each.source_key is not None else None
            yield (
                each.object, each.bps_id, name, each.field, each.ours, each.theirs, owner or "gone from the tenant",
                _find_left(view, each),
            )  # fmt: skip


def _find_left(view: View, each: Drift) -> str:
    """Return why ``syncd drift --revert`` would leave a difference as it is; empty: it would not."""
    return revert(each, view.rules.policy, protect=view.rules.scope.protect).left


def _name_groups(view: View, found: list[Drift]) -> Mapping[str, str]:
    return load_group_names(view.database, {each.bps_id for each in found if each.object not in ("user", "licence")})
