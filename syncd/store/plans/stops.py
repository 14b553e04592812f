"""Stopping changes of a plan: what a sieve decided, carried out as one statement for each selection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
)

from syncd.model.change import Phase
from syncd.model.reason import Cause, Reason
from syncd.model.run import REVERSALS, Approval
from syncd.model.target import fold
from syncd.plan.approval import Approved, Fresh, HeldBefore, Shown, compare_approved
from syncd.plan.pauses import Concerned, Pause
from syncd.plan.selection import Stop
from syncd.plan.sieves import RejectedBefore, Retried
from syncd.store.db.database import reading
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart
from syncd.store.db.sql import decode_json
from syncd.store.db.stops import stopped
from syncd.store.decisions.approvals import Approvals, identify_held, identify_place, load_held
from syncd.store.inventory.written import LINKS
from syncd.store.plans.change_statements import run_where
from syncd.store.plans.selections import GUARDED, find_shape, gather_parameters, make_stop
from syncd.store.runs.retries import has_failures, identify_written, is_not_due, load_tried
from syncd.store.schema.tables import changes, rejections, runs, target_licences, target_principals, target_users

_PLANNED = changes.c.status == "planned"


class Stops(StorePart):
    """Stops changes of a plan, and reads what the sieves decide by. Its methods are called in the store's thread."""

    def stop(self, run_id: int, stops: Sequence[Stop]) -> int:
        """Stop the changes of a plan that are meant, one stop after the other; return how many were stopped."""
        count = 0
        if stops:
            with self._database.transaction() as connection:
                for each in stops:
                    for selection in each.selections:
                        values = {**stopped(each.status, each.reason), **gather_parameters(selection), "run": run_id}
                        values |= {} if each.since is None else {"held_since": each.since}
                        count += connection.execute(make_stop(find_shape(selection)), values).rowcount
        return count

    def load_rejected_before(self, run_id: int) -> list[RejectedBefore]:
        """Return the planned changes about whose object something was rejected."""
        rows = self._database.load_rows(_SELECT_REJECTED_BEFORE, {"run": run_id})
        return [
            RejectedBefore(
                seq=row.seq,
                action=row.action,
                object=row.object,
                after=row.after or "",
                rejected=row.rejected,
                values=decode_json(row.after),
                rejected_values=decode_json(row.rejected or None),
            )
            for row in rows
        ]

    def load_managed_by(self, run_id: int, accounts: Sequence[int]) -> list[int]:
        """Return the places of updates that name one of these accounts as a manager."""
        if not accounts:
            return []
        names = set(self._database.load_values(_SELECT_FOLDS, {"keys": accounts}))
        rows = self._database.load_rows(_SELECT_MANAGERS, {"run": run_id})
        return [row.seq for row in rows if fold(decode_json(row.after).get("manager") or "") in names]

    def load_held_before(self, run_id: int, *, now: datetime) -> list[HeldBefore]:
        """Return what the guard holds in runs before this one, and nobody has decided about: once per limit."""
        runs_before = [run for run in Approvals(self._database).load_holding_runs(now=now) if run < run_id]
        if not runs_before:
            return []
        rows = self._database.load_rows(_SELECT_HELD_BEFORE, {"runs": runs_before})
        return [_make_held_before(row) for row in rows]

    def load_kept_places(self) -> tuple[set[int], set[int]]:
        """Return the groups and the members with a place whose removal was rejected and that is still there."""
        rows = self._database.load_rows(_SELECT_KEPT_PLACES)
        return {row[0] for row in rows}, {row[1] for row in rows}

    def load_not_due(self, run_id: int, *, now: datetime) -> tuple[list[Retried], set[tuple[Any, ...]]]:
        """Return the planned changes whose next attempt is not due, and what was sent before and failed."""
        with reading(self._database) as connection:
            if not has_failures(connection):
                return [], set()
            rows = connection.execute(_SELECT_NOT_DUE, {"run": run_id, "now": now}).all()
            tried = load_tried(connection, run_id, {row.record_key for row in rows}) if rows else set()
        return [Retried(seq=row.seq, kind=row.object, written=identify_written(row)) for row in rows], tried

    def load_concerned(self, run_id: int, pauses: Sequence[Pause]) -> list[Concerned]:
        """Return the planned changes that may concern what is paused."""
        records = frozenset[int]().union(*(pause.records for pause in pauses))
        sources = {pause.source for pause in pauses if pause.source is not None}
        rows = self._database.load_rows(_SELECT_CONCERNED, {"run": run_id, "records": records, "sources": sources})
        return [
            Concerned(seq=row.seq, record=row.record_key, member=row.target_key, source=row.source_key) for row in rows
        ]

    def load_moves_on_their_way(self, run_id: int) -> list[int]:
        """Return the places of grants whose licence, given by hand, has left the previous account already."""
        return self._database.load_values(_SELECT_MOVES_ON_THEIR_WAY, {"run": run_id})

    def load_given_by_hand(self, run_id: int) -> list[int]:
        """Return the places of grants that somebody made by hand meanwhile."""
        return self._database.load_values(_SELECT_GIVEN_BY_HAND, {"run": run_id})

    def compare_with_shown(self, run_id: int, approval: Approval) -> Approved:
        """Compare a fresh plan with what was held and what of it is released.

        What belongs to a handover that was released is released with it.
        """
        with reading(self._database) as connection:
            held = load_held(connection, approval.run_id)
            fresh = connection.execute(_SELECT_PLAN, {"run": run_id}).all()
        shown = [
            Shown(
                row.seq,
                identify_held(row),
                identify_place(row),
                released=approval.covers(row.action, row.record_id, row.target_id or row.target),
                held=_make_held_before(row),
            )
            for row in held
        ]
        handed = [row for row, each in zip(held, shown, strict=True) if each.released and row.action == "handover"]
        records, names = {row.record_key for row in handed}, {fold(row.record_id) for row in handed}
        return compare_approved(
            shown,
            (
                Fresh(row.seq, identify_held(row), identify_place(row), belongs=_belongs_to(row, records, names))
                for row in fresh
            ),
        )


def _make_held_before(row: Row[Any]) -> HeldBefore:
    since = row.run_id if row.held_since is None else row.held_since
    return HeldBefore(
        run_id=row.run_id, since=since, action=row.action, reason=Reason(Cause(row.error_cause), row.error)
    )


def _belongs_to(row: Row[Any], records: Collection[int], names: Collection[str]) -> bool:
    """Return whether a change is about records that pass, or about somebody who named one of them as manager."""
    if row.record_key in records or row.target_key in records:
        return True
    if not names or row.object != "user" or row.action != "update":
        return False
    return fold(decode_json(row.before).get("manager") or "") in names


# ---- statements -----------------------------------------------------------------------------------------------------

_RUN = changes.c.run_id == bindparam("run")


def _is_there(links: Table) -> ColumnElement[bool]:
    """Return the condition that a place whose removal was rejected is there."""
    return (
        exists()
        .where(links.c.group_key == rejections.c.record_key, links.c.member_key == rejections.c.target_key)
        .correlate(rejections)
    )


def _select_on_their_way() -> Select[Any]:
    own = select(target_users.c.key).where(target_users.c.source_key == changes.c.source_key).correlate(changes)
    on_its_way = exists().where(
        or_(target_licences.c.key == changes.c.record_key, target_licences.c.key.in_(own)),
        target_licences.c.type == changes.c.target,
        target_licences.c.origin == "moving",
    )
    moves = changes.c.action == "grant", changes.c.cause == Cause.MOVED.value
    return select(changes.c.seq).where(_RUN, _PLANNED, *moves, on_its_way)


def _select_given_by_hand() -> Select[Any]:
    by_hand = exists().where(
        target_licences.c.key == changes.c.record_key,
        target_licences.c.type == changes.c.target,
        target_licences.c.origin.is_(None),
    )
    grants = changes.c.object == "licence", changes.c.action == "grant", changes.c.before.is_(None)
    return select(changes.c.seq).where(_RUN, _PLANNED, *grants, by_hand)


_SELECT_PLAN = select(changes).where(_RUN)
_SELECT_REJECTED_BEFORE = (
    select(changes.c.seq, changes.c.action, changes.c.object, changes.c.after, rejections.c.after.label("rejected"))
    .join(
        rejections,
        and_(
            rejections.c.record_key == changes.c.record_key,
            rejections.c.target_key == func.coalesce(changes.c.target_key, 0),
            rejections.c.object == changes.c.object,
            rejections.c.action == changes.c.action,
        ),
    )
    .where(run_where(exists().select_from(rejections)), _PLANNED)
)
_SELECT_HELD_BEFORE = (
    select(changes.c.run_id, changes.c.held_since, changes.c.action, changes.c.error_cause, changes.c.error)
    .join(runs, runs.c.id == changes.c.run_id)
    .where(
        among_bound(changes.c.run_id, "runs"),
        changes.c.status == "held",
        changes.c.error_cause.in_(GUARDED),
        runs.c.kind.not_in(REVERSALS),
    )
    .distinct()
    .order_by(changes.c.run_id, changes.c.held_since, changes.c.action, changes.c.error)
)
_SELECT_FOLDS = select(target_principals.c.bps_fold).where(among_bound(target_principals.c.key, "keys"))
_SELECT_MANAGERS = select(changes.c.seq, changes.c.after).where(
    _RUN, changes.c.phase == int(Phase.MANAGERS), changes.c.action == "update"
)
_SELECT_KEPT_PLACES = select(rejections.c.record_key, rejections.c.target_key).where(
    rejections.c.action == "unlink", or_(*(_is_there(table) for table in LINKS.values()))
)
_SELECT_NOT_DUE = select(
    changes.c.seq, changes.c.record_key, changes.c.target_key, changes.c.object, changes.c.action, changes.c.after
).where(_RUN, _PLANNED, is_not_due())
_KEYS = (changes.c.record_key, "records"), (changes.c.target_key, "records"), (changes.c.source_key, "sources")
_SELECT_CONCERNED = select(changes.c.seq, changes.c.record_key, changes.c.target_key, changes.c.source_key).where(
    _RUN, _PLANNED, or_(*(among_bound(column, name) for column, name in _KEYS))
)
_SELECT_MOVES_ON_THEIR_WAY = _select_on_their_way()
_SELECT_GIVEN_BY_HAND = _select_given_by_hand()
