"""The first page: is all well, and what comes next."""

from __future__ import annotations

from datetime import timedelta

from syncd.model.run import HELD_FOR
from syncd.plan.report.due import SOON, group_days, tell_credential
from syncd.plan.report.sides import SIDES
from syncd.store.reports.due import load_due
from syncd.store.reports.licences import load_licence_use
from syncd.store.reports.overview import load_overview
from syncd.store.reports.run_lists import load_days
from syncd.store.store import Store
from syncd.web.console.charts import draw_seats, draw_strip
from syncd.web.console.view import Page, View

DAYS = 30
_DUE_SHOWN = 4


def show(view: View) -> Page:
    """Return the page."""
    database, rules, now = view.database, view.rules, view.now
    store, vitals = Store(database), view.desk.vitals
    overview = load_overview(database, now=now)
    holds = []
    for run_id in store.decisions.load_holding_runs(now=now):
        record = store.runs.load_run.blocking(run_id)
        until = record.finished_at + HELD_FOR if record is not None and record.finished_at is not None else None
        number = sum(number for _, number, _ in store.plans.load_holds(run_id))
        holds.append({"run": run_id, "number": number, "until": until})
    known = view.desk.list_ends(view.settings, database, now)
    ends = [tell_credential(name, ends_at, now=now) for name, ends_at in known.items()]
    soon = now + SOON
    dated = [*load_due(database, rules, now=now, until=soon), *ends]
    days = group_days((each for each in dated if each.at <= soon), view.settings.schedule.timezone)
    licences = load_licence_use(database, [rule.type for rule in rules.licences])
    counted = view.counts.load(database, rules, now=now)
    first = (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    working = next((each for each in overview.daemons if each.role == "working"), None)
    told = {} if working is None else {"full": working.next_full, "delta": working.next_delta}
    ours = vitals.next_times() if vitals.role == "working" else {}
    return view.render(
        "overview.html",
        title=view.texts("overview.title"),
        overview=overview,
        running=vitals.running if vitals.role == "working" else None,
        running_since=vitals.running_since,
        progress=sorted(vitals.progress.items()),
        next_runs={kind: ours.get(kind) or told.get(kind) for kind in ("full", "delta")},
        sides=SIDES,
        strip=draw_strip(load_days(database, since=first), view.texts, now=now, days=DAYS),
        counted=counted,
        holds=holds,
        waiting=store.decisions.load_waiting_decisions(),
        allowances=[
            each for each in store.plans.load_allowances.blocking(now=now) if each.used or each.allowed is not None
        ],
        due=days[:_DUE_SHOWN],
        due_more=sum(number for _, number in days[_DUE_SHOWN:]),
        licences=licences,
        seats=draw_seats(licences, view.texts),
    )
