"""Pictures made on the server: small SVG whose colours are those of the page, each with words for who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from markupsafe import Markup

from syncd.store.reports.licences import LicenceUse
from syncd.store.reports.run_lists import DayOfRuns
from syncd.web.console.texts.catalogue import Texts

_CELL, _GAP = 20, 4
_STRIP_HEIGHT = 72
_BARS = 44
WORST = ("failed", "interrupted", "partial", "held", "running", "succeeded")
"""Statuses of runs, the worst first: a day shows its worst."""
KINDS = ("create", "adopt", "update", "handover", "link", "grant", "unlink", "revoke", "delete")
PHASES = ("pull", "read portal", "plan", "read portal members", "apply")
_KINDS_HEIGHT = 120
_BAR = 14


def list_dates(now: datetime, days: int) -> list[str]:
    """Return the dates of the last days in UTC, the oldest first."""
    return [(now - timedelta(days=back)).strftime("%Y-%m-%d") for back in range(days - 1, -1, -1)]


def draw_strip(known: Mapping[str, DayOfRuns], texts: Texts, *, now: datetime, days: int) -> Markup:
    """Return the last days: a cell in the colour of the worst run of a day, and above it a bar for what was changed."""
    most = max((day.done.get("done", 0) for day in known.values()), default=0)
    parts = []
    for place, date in enumerate(list_dates(now, days)):
        day, x = known.get(date) or DayOfRuns(day=date), place * (_CELL + _GAP)
        status, done = next((each for each in WORST if day.statuses.get(each)), "none"), day.done.get("done", 0)
        counted = [(each, day.statuses[each]) for each in WORST if day.statuses.get(each)]
        runs = ", ".join(f"{texts.known(f'status.{each}')} {texts.number(number)}" for each, number in counted)
        height = max(3, round(_BARS * (done / most) ** 0.5)) if done else 0
        said = texts("strip.day", date=date, runs=runs or texts("strip.nothing"), done=done)
        parts.append(
            Markup(
                '<g><title>{}</title><rect class="area" x="{}" y="0" width="{}" height="{}"/>'
                '<rect class="bar" x="{}" y="{}" width="{}" height="{}" rx="2"/>'
                '<rect class="cell {}" x="{}" y="{}" width="{}" height="{}" rx="4"/></g>'
            ).format(
                said, x, _CELL, _STRIP_HEIGHT, x, _BARS - height, _CELL, height, status, x, _BARS + 6, _CELL, _CELL
            )
        )
    return _wrap(
        "strip", parts, label=texts("strip.label", n=days), width=days * (_CELL + _GAP) - _GAP, height=_STRIP_HEIGHT
    )


def draw_kinds(known: Mapping[str, DayOfRuns], texts: Texts, *, now: datetime, days: int) -> Markup:
    """Return what was planned on each of the last days, by kind of change, with what each colour means.

    Nothing where nothing was changed.
    """
    totals = [sum(day.done.get(kind, 0) for kind in KINDS) for day in known.values()]
    most = max(totals, default=0)
    if not most:
        return Markup("")
    parts, met = [], set[str]()
    for place, date in enumerate(list_dates(now, days)):
        day, x, top = known.get(date) or DayOfRuns(day=date), place * (_CELL + _GAP), float(_KINDS_HEIGHT)
        total = sum(day.done.get(kind, 0) for kind in KINDS)
        whole = max(4.0, _KINDS_HEIGHT * (total / most) ** 0.5) if total else 0.0
        told = [(kind, day.done[kind]) for kind in KINDS if day.done.get(kind)]
        words = ", ".join(f"{texts.known(f'action.{kind}')} {texts.number(number)}" for kind, number in told)
        bars = []
        for kind, number in told:
            met.add(kind)
            height = whole * number / total
            top -= height
            bars.append(
                Markup('<rect class="kind {}" x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>').format(
                    kind, x, top, _CELL, height
                )
            )
        parts.append(
            Markup('<g><title>{}</title><rect class="area" x="{}" y="0" width="{}" height="{}"/>{}</g>').format(
                f"{date}: {words or texts('strip.nothing')}", x, _CELL, _KINDS_HEIGHT, Markup("").join(bars)
            )
        )
    keys = Markup("").join(
        Markup('<li><span class="key {}"></span>{}</li>').format(kind, texts.known(f"action.{kind}"))
        for kind in KINDS
        if kind in met
    )
    picture = _wrap(
        "kinds", parts, label=texts("kinds.label", n=days), width=days * (_CELL + _GAP) - _GAP, height=_KINDS_HEIGHT
    )
    return picture + Markup('<ul class="keys">{}</ul>').format(keys)


def draw_seats(licences: Sequence[LicenceUse], texts: Texts) -> Mapping[str, Markup]:
    """Return by type how its seats are used: by rules, by hand, free; and who waits beyond them."""
    found = {}
    for use in licences:
        used = use.by_rule + use.by_hand
        whole = max(use.seats or 0, used + use.waiting, 1)
        parts, x = [], 0.0
        for name, number in (
            ("rule", use.by_rule),
            ("hand", use.by_hand),
            ("waits", use.waiting),
        ):
            width = 240 * number / whole
            parts.append(
                Markup('<rect class="seat {}" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
                    name, x, width, _BAR
                )
            )
            x += width
        label = texts("seats.label", type=use.type, rule=use.by_rule, hand=use.by_hand, waiting=use.waiting)
        parts.insert(0, Markup('<rect class="seat free" x="0" y="0" width="240" height="{}"/>').format(_BAR))
        if use.seats is not None and use.seats < whole:
            mark = Markup('<rect class="limit" x="{:.1f}" y="0" width="2" height="{}"/>')
            parts.append(mark.format(240 * use.seats / whole, _BAR))
        found[use.type] = _wrap("seats", parts, label=label, width=240, height=_BAR)
    return found


def draw_phases(phases: Mapping[str, float], texts: Texts) -> Markup:
    """Return the phases of a run as parts of one bar, with the seconds of each; nothing where there are none."""
    whole = sum(phases.values())
    if not whole:
        return Markup("")
    known = [name for name in PHASES if name in phases]
    phases = {name: phases[name] for name in (*known, *(name for name in phases if name not in known))}
    parts, x = [], 0.0
    for place, (name, seconds) in enumerate(phases.items()):
        width = 600 * seconds / whole
        said = f"{texts.known(f'phase.{name}')}: {seconds:.1f} s"
        parts.append(
            Markup(
                '<g><title>{}</title><rect class="phase p{}" x="{:.1f}" y="0" width="{:.1f}" height="{}"/></g>'
            ).format(said, place % 6, x, max(width - 1, 0.5), _BAR)
        )
        x += width
    keys = Markup("").join(
        Markup('<li><span class="key p{}"></span>{} {:.1f} s</li>').format(
            place % 6, texts.known(f"phase.{name}"), seconds
        )
        for place, (name, seconds) in enumerate(phases.items())
    )
    picture = _wrap("phases", parts, label=texts("run.phases"), width=600, height=_BAR)
    return picture + Markup('<ul class="keys">{}</ul>').format(keys)


def _wrap(kind: str, parts: Sequence[Markup], *, label: str, width: float, height: float) -> Markup:
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">{}</svg>'
    ).format(kind, width, height, label, Markup("").join(parts))
