"""The status page: one look tells an operator how syncd is. No personal data: ids, times, counts and reasons only.

Of a reason our own words are shown: those of the two sides may name somebody, and are in ``syncd runs show``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from syncd.logs.redaction import redact_text
from syncd.model.numbers import tell_number
from syncd.model.run import RunRecord
from syncd.plan.daily import describe_allowances
from syncd.plan.report.counts import find_same, tell_counts
from syncd.plan.report.sides import SIDES, find_side
from syncd.web.vitals import StoreView, Vitals

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin-top:1.8rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .7rem .3rem 0;border-bottom:1px solid #dde2e8;vertical-align:top}
th{font-weight:600;color:#56606d}.bad{color:#a8201a}.warn{color:#8a5a00}.good{color:#1b6e3c}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#dfe5ec}th,td{border-color:#2e3640}th{color:#9aa6b2}
.bad{color:#ff8a80}.warn{color:#ffc766}.good{color:#7fd8a0}}
"""
_RUNS = {"full": "a full run", "delta": "a delta run", "none": "a run that asks no tenant for everything"}
_COLOURS = {"succeeded": "good", "partial": "warn", "held": "warn", "interrupted": "warn", "failed": "bad"}


def render_page(vitals: Vitals, store: StoreView) -> str:
    """Return the page as HTML."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="refresh" content="30"><title>syncd: {vitals.role}</title><style>{_STYLE}</style>',
        f"<h1>syncd <small>{_say_role(vitals)}</small></h1>",
        _render_table(_iterate_facts(vitals, store)),
        *_render_states(store),
        "<h2>Sides</h2>",
        _render_table(_iterate_sides(store.runs)),
        "<h2>Held for approval</h2>",
        _render_held(store),
        "<h2>Last runs</h2>",
        _render_runs(store.runs),
        '<p><a href="healthz">healthz</a> · <a href="readyz">readyz</a> · <a href="metrics">metrics</a></p></html>',
    ]
    return "\n".join(parts)


def _iterate_facts(vitals: Vitals, store: StoreView) -> Iterable[tuple[str, str]]:
    yield "Time", _show_time(vitals.now())
    if store.problem:
        yield "Store", f'<span class="bad">{_show_reason(store.problem)}</span>'
    else:
        yield "Store", '<span class="good">ok</span>'
        last = "never" if store.last_good is None else _show_time(store.last_good)
        yield "Last good run", f'<span class="bad">{last}: too long ago</span>' if store.stale else last
    yield "Now", _say_now(vitals)
    for kind, time in sorted(vitals.next_times().items()):
        yield f"Next {escape(kind)} run", _show_time(time)


def _say_role(vitals: Vitals) -> str:
    """Return the daemon's part in a word or two: one that works and has nothing to do is idle."""
    if vitals.role != "working":
        return vitals.role
    return "idle" if vitals.running is None else "busy with a run"


def _say_now(vitals: Vitals) -> str:
    if vitals.running is None:
        waits = "another syncd works on this store, and this one takes over when that ends"
        return waits if vitals.role == "standby" else "idle: no run is in hand"
    since = "" if vitals.running_since is None else f" since {_show_time(vitals.running_since)}"
    what = "a look at what was changed by hand" if vitals.running.drift else _RUNS[vitals.running.pull]
    what = f"a plan, {what}" if not vitals.running.write else what
    counters = ", ".join(f"{name} {number:,}" for name, number in vitals.progress.items() if number)
    return escape(f"{what} (asked for by {vitals.running.trigger}){since}{f': {counters}' if counters else ''}")


def _render_states(store: StoreView) -> Iterable[str]:
    """Return people and groups by state, numbers alone."""
    titles = {"user": "People", "group": "Groups"}
    rows = [
        (title, ", ".join(f"{escape(state.replace('_', ' '))} {number:,}" for state, number in found.items()))
        for kind, title in titles.items()
        if (found := store.states.get(kind))
    ]
    return ("<h2>By state</h2>", _render_table(rows)) if rows else ()


def _iterate_sides(runs: Sequence[RunRecord]) -> Iterable[tuple[str, str]]:
    """Say for each side how it was when a run last talked to it."""
    for side, name in SIDES.items():
        found = find_side(side, runs)
        if found.at is None:
            yield name, "not talked to yet"
            continue
        verdict = '<span class="good">ok</span>' if found.state == "ok" else ""
        verdict = verdict or f'<span class="bad">{_show_reason(found.reason)}</span>'
        yield name, f"{verdict} (run {found.run}, {_show_time(found.at)})"


def _render_held(store: StoreView) -> str:
    held = store.held
    day = "".join(f"<br>{escape(line)}" for line in describe_allowances(store.allowances))
    if held is None or not held.changes:
        return f"<p>Nothing.{day}</p>"
    reasons = [run.error for run in store.runs if run.id in held.runs and run.error]
    told = "; ".join(_show_reason(reason) for reason in reasons) or "see 'syncd held'"
    runs = f"run{'s' if len(held.runs) != 1 else ''} {', '.join(map(str, held.runs))}"
    since = "" if held.since is None else f", the oldest since {_show_time(held.since)}"
    return f'<p class="warn">{tell_number(held.changes, "change")} of {runs}{since}: {told}{day}</p>'


def _render_runs(runs: Sequence[RunRecord]) -> str:
    same = find_same(runs)
    rows = [
        "<table><tr><th>Run<th>Kind<th>Trigger<th>Status<th>Started<th>Seconds<th>Changes<th>Reason</tr>",
        *(_render_run(run, same.get(run.id)) for run in runs),
        "</table>",
    ]
    return "\n".join(rows)


def _render_run(run: RunRecord, same: int | None) -> str:
    """Return a row; ``same``: the run above that said why already."""
    took = "" if run.finished_at is None else f"{(run.finished_at - run.started_at).total_seconds():.1f}"
    counts = tell_counts(run.counts)
    cells = [
        str(run.id),
        escape(run.kind),
        escape(run.trigger),
        f'<span class="{_COLOURS.get(run.status, "")}">{escape(run.status)}</span>',
        _show_time(run.started_at),
        took,
        escape(counts),
        _show_reason(run.error) if same is None else f"as in run {same}",
    ]
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells) + "</tr>"


def _render_table(rows: Iterable[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{name}<td>{value}</tr>" for name, value in rows) + "</table>"


def _show_reason(text: str) -> str:
    return escape(redact_text(text))


def _show_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")
