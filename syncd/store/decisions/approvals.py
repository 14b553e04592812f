"""What a guard withheld, and what a person said of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, exists, func, insert, or_, select, update

from syncd.model.change import find_written
from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause
from syncd.model.run import HELD_FOR, REVERSALS, Approval
from syncd.plan.desired import LEAVER_STATES
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.markers import EMPTIED, EMPTY_BELIEVED, FULL_PUSH_DUE, load_marker, save_marker
from syncd.store.db.parameters import among_bound, among_values
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json, upsert
from syncd.store.db.stops import stopped
from syncd.store.runs.open_changes import is_in_force, select_newest_whole
from syncd.store.schema.tables import (
    changes,
    decision_records,
    desired_groups,
    desired_users,
    orders,
    rejections,
    runs,
    target_groups,
    target_principals,
    target_users,
)

_PLACE = ("record_key", "target_key", "object", "action")
"""What a rejection is known by."""
_OPEN: tuple[str, ...] = ("succeeded", "partial", "held")


class Approvals(StorePart):
    """Reads and settles held changes. Its methods are called in the store's thread, or by commands."""

    def load_holding_runs(self, *, now: datetime) -> list[int]:
        """Return the runs whose held changes are still open, oldest first.

        What was withheld too long ago has expired. Every run over everything plans anew what still stands, so that
        older ones hold nothing any more; a run over one object leaves open what others hold of the rest. What setting
        something back withheld is planned by nobody else, and stays open.
        """
        newest = self._database.load_value(_FIND_NEWEST_OPEN) or 0
        return sorted(self._database.load_values(_SELECT_HOLDING, {"newest": newest, "since": now - HELD_FOR}))

    def count_held(self, runs: Collection[int]) -> int:
        """Return how many changes these runs hold."""
        return int(self._database.load_value(_COUNT_HELD, {"runs": runs})) if runs else 0

    def load_leaver_reasons(self, records: Collection[int]) -> dict[int, str]:
        """Return why nobody wants these records of ours (disabled, deleted, which rule of the scope), by record."""
        found: dict[int, str] = {}
        with reading(self._database) as connection:
            for target, desired in ((target_users, desired_users), (target_groups, desired_groups)):
                left = (
                    select(target.c.key, desired.c.reason)
                    .join(desired, desired.c.key == target.c.source_key)
                    .where(desired.c.state.in_(sorted(LEAVER_STATES)), desired.c.reason != "")
                )
                few = left.where(among_values(target.c.key, records))
                found.update({row.key: row.reason for row in connection.execute(few)})
        return found

    @in_thread
    def load_concerned(self, approval: Approval) -> tuple[list[str], list[str]]:
        """Return BPS ids of the users and of the groups that the released changes write to."""
        found: dict[str, set[str]] = {"user": set(), "group": set()}
        with reading(self._database) as connection:
            for row in load_held(connection, approval.run_id):
                if approval.covers(row.action, row.record_id, row.target_id or row.target):
                    found[find_written(row.object)].add(row.record_id)
        return sorted(found["user"]), sorted(found["group"])

    def note_released(self, run_id: int, held_by: int, places: Mapping[int, int]) -> None:
        """Note at the changes of an approval which held change each of them is: what is done of it is held no more."""
        rows = [
            {"run": run_id, "released": seq, "held_since": held_by, "held_seq": held} for seq, held in places.items()
        ]
        if rows:
            with self._database.transaction() as connection:
                connection.execute(_NOTE_RELEASED, rows)

    def load_begun(self, run_id: int) -> set[int]:
        """Return the places of what a run holds that an approval may have done which never learned how it ended."""
        begun = {_identify_done(row) for row in self._database.load_rows(_SELECT_BEGUN)}
        if not begun:
            return set()
        with reading(self._database) as connection:
            return {row.seq for row in load_held(connection, run_id) if _identify_done(row) in begun}

    def reject(self, approval: Approval) -> int:
        """Drop held changes, and remember not to propose them again until their object changes; return how many.

        What was withheld of setting something back is only dropped: an ordinary run may still come to the same change.
        """
        with self._database.transaction() as connection:
            kind = connection.scalar(select(runs.c.kind).where(runs.c.id == approval.run_id))
            rows = [
                row
                for row in load_held(connection, approval.run_id)
                if approval.covers(row.action, row.record_id, row.target_id or row.target)
            ]
            if kind not in REVERSALS:
                upsert(connection, rejections, _make_rejections(connection, rows, approval.run_id))
            seqs = [row.seq for row in rows]
            if seqs:
                connection.execute(
                    update(changes)
                    .where(changes.c.run_id == approval.run_id, among_values(changes.c.seq, seqs))
                    .values(stopped("dropped", say(Cause.REJECTED)))
                )
        return len(rows)

    def withdraw_rejections(self, approval: Approval) -> int:
        """Forget that changes held by this run were rejected, all or those that are meant; return how many.

        The next run looks at everybody, since nothing else may come that lets it look at these.
        """
        target = target_principals.alias("target_principal")
        statement = (
            select(rejections, target_principals.c.bps_id.label("record_id"), target.c.bps_id.label("target_id"))
            .join(target_principals, target_principals.c.key == rejections.c.record_key)
            .outerjoin(target, target.c.key == rejections.c.target_key)
            .where(rejections.c.run_id == approval.run_id)
        )
        with self._database.transaction() as connection:
            rows = [
                row
                for row in connection.execute(statement).all()
                if approval.covers(row.action, row.record_id, row.target_id or "")
            ]
            for row in rows:
                same = [rejections.c[name] == getattr(row, name) for name in _PLACE]
                connection.execute(delete(rejections).where(*same))
            if rows:
                save_marker(connection, FULL_PUSH_DUE, "yes")
        return len(rows)

    def count_rejections(self) -> dict[int, int]:
        """Return how many rejections hold, by the run that had withheld what was rejected."""
        statement = (
            select(rejections.c.run_id, func.count()).group_by(rejections.c.run_id).order_by(rejections.c.run_id)
        )
        with reading(self._database) as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def load_rejected_removals(self) -> set[tuple[str, int, int]]:
        """Return (object, record, target or 0) of the removals that a person rejected."""
        rows = self._database.load_rows(_SELECT_REJECTED_REMOVALS)
        return {(row.object, row.record_key, row.target_key) for row in rows}

    def forget_rejected_removals(self, removals: Collection[tuple[str, int, int]]) -> None:
        """The source wants these to be there: to remove them would be a new decision, and may be proposed again."""
        with self._database.transaction() as connection:
            for kind, record, target in sorted(removals):
                same = (rejections.c.record_key == record) & (rejections.c.target_key == target)
                removal = rejections.c.action.in_(("unlink", "delete"))
                connection.execute(delete(rejections).where(same, rejections.c.object == kind, removal))

    # ---- orders to a daemon -----------------------------------------------------------------------------------------

    def add_order(self, approval: Approval, *, decision: int | None = None) -> int:
        """Ask whoever holds the store's lock to carry out an approval; return the number of the order.

        ``decision``: the record of who decided; the run that carries it out is noted there.
        """
        row = {
            "run_id": approval.run_id,
            "actions": encode_json(list(approval.actions)),
            "only": encode_json(list(approval.only)),
            "decision": decision,
        }
        with self._database.transaction() as connection:
            return int(connection.execute(insert(orders).values(**row).returning(orders.c.id)).scalar_one())

    @in_thread
    def load_order(self) -> Approval | None:
        """Return the oldest order that nobody has carried out."""
        with reading(self._database) as connection:
            row = connection.execute(
                select(orders).where(orders.c.result_run.is_(None)).order_by(orders.c.id).limit(1)
            ).first()
        if row is None:
            return None
        return Approval(
            run_id=row.run_id, actions=tuple(decode_json(row.actions)), only=tuple(decode_json(row.only)), order=row.id
        )

    @in_thread
    def finish_order(self, order: int, run_id: int) -> None:
        """Say which run carried out an order; nobody waits for one of the console, whose result stands beside it."""
        with self._database.transaction() as connection:
            connection.execute(update(orders).where(orders.c.id == order).values(result_run=run_id))
            connection.execute(_NOTE_RESULT, {"order": order, "result": run_id})
            connection.execute(_FORGET_SERVED, {"order": order})

    def load_order_result(self, order: int) -> int | None:
        """Return the run that carried out an order, None as long as there is none."""
        with reading(self._database) as connection:
            return connection.scalar(select(orders.c.result_run).where(orders.c.id == order))

    def withdraw_order(self, order: int) -> None:
        """Take an order back, or forget one that is done."""
        with self._database.transaction() as connection:
            connection.execute(delete(orders).where(orders.c.id == order))

    # ---- an empty tenant --------------------------------------------------------------------------------------------

    def believe_empty(self, streams: Collection[str], run_id: int) -> dict[str, bool]:
        """Remember that a person says these streams are truly empty; return those that are still held for it.

        True: every object is known to be deleted, so that any run may act on it; otherwise the next full run does.
        """
        found: dict[str, bool] = {}
        with self._database.transaction() as connection:
            for stream in streams:
                how = load_marker(connection, EMPTIED + stream)
                if how is not None:
                    save_marker(connection, EMPTY_BELIEVED + stream, str(run_id))
                    found[stream] = how == "told"
        return found


def forget_rejections(connection: Connection, source_keys: Collection[int]) -> None:
    """The decision about these source users changed: what was rejected about their records may be proposed again."""
    if connection.scalar(_HAS_REJECTIONS):
        keys = {key for key in connection.scalars(_SELECT_RECORDS_OF, {"sources": source_keys}) if key is not None}
        connection.execute(_FORGET_REJECTIONS, {"keys": keys})


def _make_rejections(connection: Connection, rows: Sequence[Row[Any]], run_id: int) -> list[dict[str, Any]]:
    """Return what to remember of rejected changes; of the updates of one record the sum, as its manager comes later."""
    records = {row.record_key for row in rows if row.action == "update" and row.object in RECORD_KINDS}
    before = select(rejections).where(among_values(rejections.c.record_key, records), rejections.c.action == "update")
    afters = {tuple(getattr(row, name) for name in _PLACE): row.after for row in connection.execute(before)}
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = row.record_key, row.target_key or 0, row.object, row.action
        after = row.after or ""
        if key in afters and row.record_key in records:
            after = encode_json(decode_json(afters[key]) | decode_json(after))
        afters[key] = after
        found[key] = {**dict(zip(_PLACE, key, strict=True)), "after": after, "run_id": run_id}
    return list(found.values())


def load_held(connection: Connection, run_id: int) -> list[Row[Any]]:
    """Return what a run holds, with the BPS ids of record and member."""
    target = target_principals.alias("target_principal")
    statement = (
        select(changes, target_principals.c.bps_id.label("record_id"), target.c.bps_id.label("target_id"))
        .select_from(changes)
        .join(target_principals, target_principals.c.key == changes.c.record_key)
        .outerjoin(target, target.c.key == changes.c.target_key)
        .where(changes.c.run_id == run_id, changes.c.status == "held")
        .order_by(changes.c.phase, changes.c.seq)
    )
    return list(connection.execute(statement).all())


def identify_held(row: Row[Any]) -> tuple[Any, ...]:
    """Return what tells a change from another one: what is done to what, and the values before and after."""
    return (row.action, row.object, row.record_key, row.target_key, row.target, row.before or "", row.after or "")


def _identify_done(row: Row[Any]) -> tuple[Any, ...]:
    return (row.record_key, row.target_key, row.object, row.action)


def identify_place(row: Row[Any]) -> tuple[Any, ...]:
    """Return what a change has in common with those that do the same with other values; an update is its values."""
    values = (row.after or "") if row.action == "update" else ""
    return (row.action, row.object, row.record_key, row.target_key, row.target, values)


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_begun() -> Select[Any]:
    cut_short = changes.c.status == "planned", runs.c.status == "interrupted"
    settled = changes.c.error_cause == Cause.SETTLED_LATER.value
    unclear = or_(changes.c.status == "started", settled, and_(*cut_short))
    approvals = select(runs.c.id).where(runs.c.trigger == "approval")  # few: their changes are read by run
    return (
        select(changes.c.record_key, changes.c.target_key, changes.c.object, changes.c.action)
        .join(runs, runs.c.id == changes.c.run_id)
        .where(changes.c.run_id.in_(approvals), unclear)
    )


_COUNT_HELD = select(func.count()).where(among_bound(changes.c.run_id, "runs"), changes.c.status == "held")
_HAS_REJECTIONS = select(exists().select_from(rejections))
_SELECT_REJECTED_REMOVALS = select(rejections.c.object, rejections.c.record_key, rejections.c.target_key).where(
    rejections.c.action.in_(("unlink", "delete"))
)
_SELECT_RECORDS_OF = (
    select(desired_users.c.principal_key)
    .where(among_bound(desired_users.c.key, "sources"))
    .union_all(select(target_users.c.key).where(among_bound(target_users.c.source_key, "sources")))
)
_FORGET_REJECTIONS = delete(rejections).where(
    among_bound(rejections.c.record_key, "keys") | among_bound(rejections.c.target_key, "keys")
)
_DECIDED = select(orders.c.decision).where(orders.c.id == bindparam("order"), orders.c.decision.is_not(None))
_NOTE_RESULT = (
    update(decision_records).where(decision_records.c.id.in_(_DECIDED)).values(result_run=bindparam("result"))
)
_FORGET_SERVED = delete(orders).where(
    orders.c.id == bindparam("order"),
    orders.c.decision.in_(select(decision_records.c.id).where(decision_records.c.via == "console")),
)
_NOTE_RELEASED = update(changes).where(changes.c.run_id == bindparam("run"), changes.c.seq == bindparam("released"))
_SELECT_BEGUN = _select_begun()
_FRESH = runs.c.finished_at > bindparam("since")
_FIND_NEWEST_OPEN = select_newest_whole(runs.c.kind != "plan", runs.c.status.in_(_OPEN))
_SELECT_HOLDING = select(runs.c.id).where(
    _FRESH,
    runs.c.id.in_(
        select(changes.c.run_id).where(
            is_in_force(bindparam("newest"))
            | changes.c.run_id.in_(
                select(runs.c.id).where(runs.c.kind.in_(REVERSALS), runs.c.status.in_(_OPEN), _FRESH)
            ),
            changes.c.status == "held",
        )
    ),
)
