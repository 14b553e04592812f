"""Decisions: what a person approves goes to the working daemon as an order, what is rejected is dropped at once.

A first form leads to a page that says in numbers what is meant; only the second one decides. Both are refused when
what is held has changed since the reader saw it. An approval is a run of its own, and looks at both sides again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

import structlog

from syncd.model.change import Action
from syncd.model.run import Approval
from syncd.store.decisions.records import Decider, DecisionKind
from syncd.store.reports.held_count import HeldCount, count_meant
from syncd.store.store import Store
from syncd.web.console.pages.held import find_emptied
from syncd.web.console.pages.missing import show_missing
from syncd.web.console.view import Elsewhere, Page, View

_REASON_LENGTH = 500
_ONLY_AT_MOST = 2000
_SCOPES = ("all", "kinds", "people")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    decision: Literal["approve", "reject"]
    approval: Approval
    reason: str
    scope: str


def decide(view: View) -> Page | Elsewhere:
    """Ask once more, or decide, as the form says."""
    run_id, store = int(view.parts["run"]), Store(view.database)
    if view.first("emptied") == "believe":
        return _believe_empty(view, run_id)
    wish, problem = _read(view, run_id)
    if wish is None:
        return _refuse(view, run_id, problem)
    if not wish.reason:
        return _refuse(view, run_id, "decide.give_reason")
    if run_id not in store.decisions.load_holding_runs(now=view.now):
        return _refuse(view, run_id, "decide.over")
    meant = count_meant(view.database, wish.approval)
    if not meant.number:
        return _refuse(view, run_id, "decide.nothing")
    if view.first("seen") != meant.mark:
        return view.render(
            "decide.html",
            title=view.texts(f"decide.{wish.decision}_title"),
            run_id=run_id,
            wish=wish,
            meant=meant,
            changed=bool(view.first("seen")),
        )
    return _carry_out(view, wish, meant)


def withdraw(view: View) -> Page | Elsewhere:
    """Take an approval back that no daemon has begun."""
    number, store = int(view.parts["decision"]), Store(view.database)
    record = store.decisions.load_decision(number)
    if record is None or record.decision != "approve" or not store.decisions.withdraw_decision(number):
        return show_missing(view, view.texts("decide.begun"))
    taken_back = Approval(run_id=record.run_id, actions=record.actions, only=record.only)
    by = Decider(via="console", name=view.session.login, person_id=view.session.person_id)
    _record(view, "withdraw", taken_back, by, number=None)
    return Elsewhere("/held")


def _read(view: View, run_id: int) -> tuple[_Wish | None, str]:
    """Return what the form wishes, also without a reason; None and the key of a text when it cannot be read."""
    decision, scope = view.first("decision"), view.first("scope")
    if decision not in ("approve", "reject") or scope not in _SCOPES:
        return None, "decide.choose"
    actions: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    if scope == "kinds":
        actions = tuple(dict.fromkeys(view.every("kind")))
        if not actions or not set(actions) <= set(get_args(Action)):
            return None, "decide.choose_kind"
    if scope == "people":
        only = tuple(dict.fromkeys(name.strip().casefold() for name in view.every("only") if name.strip()))
        if not only or len(only) > _ONLY_AT_MOST:
            return None, "decide.choose_person"
    chosen = cast(Literal["approve", "reject"], decision)
    approval = Approval(run_id=run_id, actions=actions, only=only)
    return _Wish(decision=chosen, approval=approval, reason=_read_reason(view), scope=scope), ""


def _read_reason(view: View) -> str:
    return " ".join(view.first("reason").split())[:_REASON_LENGTH]


def _refuse(view: View, run_id: int, key: str) -> Page:
    """Say why nothing was decided, and keep what was chosen and typed: it can be asked again, of what is held now."""
    holding = Store(view.database).decisions.load_holding_runs(now=view.now)
    wish, _ = _read(view, run_id)
    again = [run_id] if key == "decide.give_reason" else [other for other in holding if other > run_id]
    return view.render(
        "decide_refused.html",
        title=view.texts("decide.refused_title"),
        said=view.texts(key),
        run_id=run_id,
        wish=wish,
        again=again if wish is not None and (run_id not in holding or again == [run_id]) else [],
        reason=_read_reason(view),
        code=400,
    )


def _carry_out(view: View, wish: _Wish, meant: HeldCount) -> Elsewhere:
    store = Store(view.database)
    by = Decider(via="console", name=view.session.login, person_id=view.session.person_id, reason=wish.reason)
    if wish.decision == "reject":
        number = store.decisions.reject(wish.approval)
        _record(view, "reject", wish.approval, by, number=number)
        return Elsewhere(f"/held/{wish.approval.run_id}?told=reject")
    record = _record(view, "approve", wish.approval, by, number=meant.number)
    store.decisions.add_order(wish.approval, decision=record)
    return Elsewhere(f"/held/{wish.approval.run_id}?told=approve&decision={record}")


def _believe_empty(view: View, run_id: int) -> Page | Elsewhere:
    """Note that a person says that a stream is truly empty; asked in words of its own, never as part of an approval."""
    streams = [name for run, name in find_emptied(view) if run == run_id and name == view.first("stream")]
    reason = _read_reason(view)
    if not streams or not reason:
        return _refuse(view, run_id, "decide.give_reason" if streams else "decide.over")
    if not Store(view.database).decisions.believe_empty(streams, run_id):
        return _refuse(view, run_id, "decide.over")
    by = Decider(via="console", name=view.session.login, person_id=view.session.person_id, reason=reason)
    _record(view, "approve", Approval(run_id=run_id), by, number=None)
    return Elsewhere("/held")


def _record(view: View, decision: DecisionKind, approval: Approval, by: Decider, *, number: int | None) -> int:
    record = Store(view.database).decisions.record(decision, approval, by, now=view.now, number=number)
    structlog.get_logger("syncd.decisions").info(
        "decision.recorded",
        record=record,
        decision=decision,
        run=approval.run_id,
        changes=number,
        via=by.via,
        person_id=by.person_id,
    )
    return record
