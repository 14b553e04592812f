"""What guards withhold: all of it by run, and one run's with everything that a person needs to decide."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

from syncd.model.change import Action, ObjectKind
from syncd.model.run import HELD_FOR
from syncd.plan.report.counts import group_holds
from syncd.store.reports.emptied import load_emptied
from syncd.store.reports.handovers import HandoverCards
from syncd.store.reports.held import load_hanging, load_present
from syncd.store.reports.run_lists import (
    count_changes,
    count_subjects,
    find_deletions,
    find_worst_hit,
    iterate_changes,
    load_changes,
)
from syncd.store.store import Store
from syncd.web.console.pages.exports import export
from syncd.web.console.pages.missing import show_missing
from syncd.web.console.pages.run import HEADINGS, group_lines, make_row, read_filter, read_grouping
from syncd.web.console.view import PAGE_ROWS, Page, View

CARDS = 20
HANDOVERS = 8


def show_list(view: View) -> Page:
    """Return the page of all runs that hold something."""
    store = Store(view.database)
    holding = store.decisions.load_holding_runs(now=view.now)
    return view.render(
        "held.html",
        title=view.texts("held.title"),
        holds=[summarize(view, run_id) for run_id in holding],
        emptied=find_emptied(view),
        waiting=store.decisions.load_waiting_decisions(),
        rejections=store.decisions.count_rejections(),
        allowances=[
            each for each in store.plans.load_allowances.blocking(now=view.now) if each.used or each.allowed is not None
        ],
        decides=view.decides,
    )


def show(view: View) -> Page:
    """Return the page of what one run holds."""
    run_id, store = int(view.parts["run"]), Store(view.database)
    record = store.runs.load_run.blocking(run_id)
    if record is None:
        return show_missing(view, view.texts("run.missing", n=run_id))
    wanted, by = read_filter(view, outcome="held"), read_grouping(view)
    if view.query.get("export") and (
        page := export(
            view,
            f"held-{run_id}",
            HEADINGS,
            map(make_row, iterate_changes(view.database, run_id, wanted=wanted, by=by)),
        )
    ):
        return page
    holding = store.decisions.load_holding_runs(now=view.now)
    open_still = run_id in holding
    total = count_changes(view.database, run_id, wanted=wanted)
    start = view.count("page") * PAGE_ROWS
    lines = load_changes(view.database, run_id, wanted=wanted, by=by, start=start, limit=PAGE_ROWS)
    summary = summarize(view, run_id)
    places, deletions = find_deletions(view.database, run_id, outcome="held", limit=CARDS)
    hanging = load_hanging(view.database, store.plans.load_places(run_id, places))
    return view.render(
        "held_run.html",
        title=view.texts("held.run_title", n=run_id),
        run=record,
        open_still=open_still,
        newer=[other for other in holding if other > run_id],
        summary=summary,
        decisions=store.decisions.load_decisions(run_id),
        cards=load_cards(view, run_id),
        cards_page=view.count("cards"),
        cards_total=sum(number for action, _, number, _ in summary["kinds"] if action == "handover"),
        cards_each=HANDOVERS,
        hanging=hanging,
        hanging_left=max(0, deletions - CARDS),
        following=store.plans.count_following(run_id),
        present=load_present(view.database, [line.source[1] for line in lines if line.source]),
        read_at=find_last_news(view),
        groups=group_lines(lines),
        total=total,
        start=start,
        page=view.count("page"),
        more=start + len(lines) < total,
        wanted=wanted,
        by=by,
        actions=[each for each in get_args(Action) if any(each == kind[0] for kind in summary["kinds"])],
        objects=get_args(ObjectKind),
        decides=view.decides and open_still,
        told=view.pick("told", ("approve", "reject", "changed")),
        order=view.count("decision"),
    )


def summarize(view: View, run_id: int) -> dict[str, Any]:
    """Return what a run holds in numbers: kinds with the people concerned and the worst hit, reasons, until when."""
    store = Store(view.database)
    record = store.runs.load_run.blocking(run_id)
    kinds = count_subjects(view.database, run_id, outcome="held")
    return {
        "run": run_id,
        "record": record,
        "until": record.finished_at + HELD_FOR if record is not None and record.finished_at is not None else None,
        "since": store.plans.load_held_since.blocking([run_id]),
        "number": sum(number for _, _, number, _ in kinds),
        "kinds": kinds,
        "worst": {
            action: find_worst_hit(view.database, run_id, outcome="held", action=action)
            for action, kind, number, _ in kinds
            if kind == "membership" and number > 1
        },
        "reasons": group_holds(store.plans.load_holds(run_id)),
    }


def load_cards(view: View, run_id: int) -> list[dict[str, Any]]:
    """Return the cards of some handovers that a run holds: those of the page that the address asks for."""
    made = HandoverCards(view.database, view.rules, now=view.now)
    start = view.count("cards") * HANDOVERS
    return [{**card, "seq": seq} for seq, card in made.iterate(run_id, ["held"], start=start, limit=HANDOVERS)]


def find_emptied(view: View) -> list[tuple[int, str]]:
    """Return the streams that are held as a whole because they read empty, with the run that says so."""
    return [*load_emptied(view.database)]


def find_last_news(view: View) -> datetime | None:
    """Return when a run last read the tenant."""
    runs = Store(view.database).runs.load_runs(50)
    return next((run.started_at for run in runs if "pull" in run.phases and run.status != "failed"), None)
