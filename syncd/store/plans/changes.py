"""Plans and outcomes: the changes of a run, written completely before the first of them is tried."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Select, Table, distinct, exists, func, literal_column, select, true

from syncd.model.change import Action, Change, LinkKind, ObjectKind, OutcomeStatus, Phase, PlannedChange
from syncd.model.licence import LICENCE_PLACES
from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import among, decode_json, encode_json, fetch_together, insert_tuples
from syncd.store.schema.tables import (
    changes,
    desired_users,
    runs,
    target_groups,
    target_principals,
    target_users,
)

Placed = tuple[PlannedChange, int, int | None]
"""A planned change with the key of its record and, for a membership, of its member; for a licence its type's number."""

_PLANNED = (
    "run_id", "seq", "phase", "action", "object", "record_key", "target_key", "target", "source_key", "before", "after",
    "cause", "reason", "status", "error_cause", "error",
)  # fmt: skip
_PHASES = {int(phase): phase for phase in Phase}
_CAUSES = {cause.value: cause for cause in Cause}
_READ = (
    changes.c.run_id, changes.c.seq, changes.c.phase, changes.c.action, changes.c.object, changes.c.record_key,
    changes.c.target_key, changes.c.target, changes.c.source_key, changes.c.before, changes.c.after, changes.c.cause,
    changes.c.reason, changes.c.status, changes.c.error_cause, changes.c.error,
)  # fmt: skip


class Plans(StorePart):
    """Writes plans, hands out what is to be applied, and records outcomes with their effect on the inventory."""

    # ---- planning ---------------------------------------------------------------------------------------------------

    @in_thread
    def add_changes(self, run_id: int, start: int, planned: Sequence[tuple[Change, int, int | None]]) -> int:
        """Append (change, record key, target key) to the plan from place ``start``; return the next place."""
        rows = [_make_row(run_id, seq, placed) for seq, placed in enumerate(planned, start)]
        self._insert(rows)
        return start + len(rows)

    def add_left(self, run_id: int, start: int, left: Sequence[tuple[Change, int, int | None, str]]) -> int:
        """Append what a plan leaves alone, each with the reason; return the next place."""
        rows = [
            (*_make_row(run_id, seq, (change, record, target))[:-3], "dropped", Cause.LEFT_ALONE.value, reason)
            for seq, (change, record, target, reason) in enumerate(left, start)
        ]
        self._insert(rows)
        return start + len(rows)

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            with self._database.transaction() as connection:
                insert_tuples(connection, changes, _PLANNED, rows)

    def count_changes(self, run_id: int) -> dict[tuple[Action, ObjectKind], int]:
        """Return how many changes of each kind are planned and not held; updates count each record once.

        A second account for somebody who has one (a rename) counts as an update and not as a creation. An update that
        only completes a creation does not count. Of substitutions only the new ones of leavers count: they belong to
        the unlinking. A creation that an earlier run was let to begin, and did not finish, does not count again.
        """
        renamed = (
            (changes.c.action == "create") & (changes.c.object == "user") & (changes.c.cause == Cause.RENAMED.value)
        )
        planned = changes.c.run_id == run_id, changes.c.status == "planned"
        statement = (
            select(changes.c.action, changes.c.object, func.count(), func.count(distinct(changes.c.record_key)))
            .where(*planned, changes.c.cause != Cause.COMPLETES_CREATION.value, changes.c.object != "substitution")
            .group_by(changes.c.action, changes.c.object)
        )
        with reading(self._database) as connection:
            found: dict[tuple[Action, ObjectKind], int] = {
                (row[0], row[1]): row[3] if row[0] == "update" else row[2] for row in connection.execute(statement)
            }
            moves = connection.scalar(select(func.count()).where(*planned, renamed))
            begun = (changes.c.action == "create") & (changes.c.cause == Cause.STANDS_IN.value)
            leavers = connection.scalar(select(func.count()).where(*planned, begun))
        if moves:
            found["update", "user"] = found.get(("update", "user"), 0) + moves
            found["create", "user"] -= moves
        for kind in ("user", "group"):
            if found.get(("create", kind)):
                found["create", kind] -= self._count_begun(run_id, kind)
        if leavers:
            found["unlink", "user"] = leavers
        return found

    def _count_begun(self, run_id: int, kind: ObjectKind) -> int:
        """Return how many planned creations an earlier run began, or would have begun if it had not been cut short."""
        earlier = changes.alias("earlier")
        cut_short = exists().where(
            runs.c.id == earlier.c.run_id,
            runs.c.status.in_(("running", "interrupted", "failed")),
            runs.c.kind != "plan",
        )
        begun = exists().where(
            earlier.c.record_key == changes.c.record_key,
            earlier.c.run_id < run_id,
            earlier.c.action == "create",
            earlier.c.object == kind,
            earlier.c.status.in_(("started", "failed", "deferred")) | ((earlier.c.status == "planned") & cut_short),
        )
        planned = changes.c.run_id == run_id, changes.c.status == "planned", changes.c.action == "create"
        statement = select(func.count()).where(
            *planned, changes.c.object == kind, changes.c.cause != Cause.RENAMED.value, begun
        )
        with reading(self._database) as connection:
            return connection.scalar(statement) or 0

    def load_adoptions(self, run_id: int) -> set[int]:
        """Return the records that a plan wants to adopt."""
        statement = select(changes.c.record_key).where(changes.c.run_id == run_id, changes.c.action == "adopt")
        with reading(self._database) as connection:
            return set(connection.scalars(statement))

    def was_left_unlinked(self, group: int, member: int, *, kind: LinkKind) -> bool:
        """Return whether the newest attempt to link these two was not finished; a plan that was only shown is none."""
        return self._was_left("link", kind, record=group, target=member)

    def was_left_ungranted(self, record: int, kind: str) -> bool:
        """Return whether the newest attempt to grant a person this licence was not finished, in the same sense."""
        return self._was_left("grant", "licence", record=record, target=LICENCE_PLACES[kind])

    def _was_left(self, action: Action, kind: ObjectKind, *, record: int, target: int) -> bool:
        cut_short = runs.c.status.in_(("running", "interrupted", "failed"))
        tried = runs.c.kind != "plan", cut_short | (changes.c.status != "planned")
        statement = (
            select(changes.c.status)
            .join(runs, runs.c.id == changes.c.run_id)
            .where(changes.c.record_key == record, changes.c.target_key == target, changes.c.action == action, *tried)
            .where(changes.c.object == kind)
            .order_by(changes.c.run_id.desc())
            .limit(1)
        )
        with reading(self._database) as connection:
            return connection.scalar(statement) in ("deferred", "failed", "started", "planned")

    # ---- reading ----------------------------------------------------------------------------------------------------

    def iterate_changes(
        self, run_id: int, *, statuses: Collection[OutcomeStatus] | None = None, phase: Phase | None = None
    ) -> Iterator[list[Placed]]:
        """Yield (change, record key, target key) in the plan's order, in chunks."""
        for each in Phase if phase is None else (phase,):
            yield from self._iterate_phase(run_id, each, statuses)

    def _iterate_phase(
        self, run_id: int, phase: Phase, statuses: Collection[OutcomeStatus] | None
    ) -> Iterator[list[Placed]]:
        statement = select(*_READ).where(changes.c.run_id == run_id, changes.c.phase == int(phase))
        if statuses is not None:
            statement = statement.where(changes.c.status.in_(tuple(statuses)))
        last = -1
        while True:
            page = statement.where(changes.c.seq > last).order_by(changes.c.seq).limit(1000)
            with reading(self._database) as connection:
                placed = _load_places(connection, page)
            if not placed:
                return
            yield placed
            last = placed[-1][0].seq

    @in_thread
    def load_planned_phases(self, run_id: int) -> set[Phase]:
        """Return the phases in which something is planned."""
        statement = select(changes.c.phase).where(changes.c.run_id == run_id, changes.c.status == "planned").distinct()
        with reading(self._database) as connection:
            return set(map(Phase, connection.scalars(statement)))

    @in_thread
    def load_batch(self, run_id: int, phase: Phase, *, after: int, limit: int) -> list[Placed]:
        """Return the next planned changes of a phase behind place ``after``."""
        statement = (
            select(*_READ)
            .where(
                changes.c.run_id == run_id,
                changes.c.phase == int(phase),
                changes.c.status == "planned",
                changes.c.seq > after,
            )
            .order_by(changes.c.seq)
            .limit(limit)
        )
        with reading(self._database) as connection:
            return _load_places(connection, statement)

    def load_places(self, run_id: int, seqs: Collection[int]) -> list[Placed]:
        """Return single changes of a plan, in its order."""
        if not seqs:
            return []
        with reading(self._database) as connection:
            few = select(*_READ).where(changes.c.run_id == run_id, among(changes.c.seq, seqs, connection))
            return _load_places(connection, few)

    @in_thread
    def load_waiting(self, run_id: int, at_most: int) -> tuple[list[str], list[str]]:
        """Return BPS ids of accounts and of groups that planned changes need and WEBCON has not synchronised yet.

        No more than ``at_most`` of each: after a first push nearly everybody waits.
        """
        with reading(self._database) as connection:
            users, groups = (
                sorted(connection.scalars(_select_waiting(run_id, table).limit(at_most)))
                for table in (target_users, target_groups)
            )
        return users, groups

    @in_thread
    def count_waiting(self, run_id: int) -> int:
        """Return how many these are in all."""
        with reading(self._database) as connection:
            return sum(
                connection.scalar(select(func.count()).select_from(_select_waiting(run_id, table).subquery())) or 0
                for table in (target_users, target_groups)
            )

    @in_thread
    def load_ready(self, folds: Collection[str]) -> dict[str, bool]:
        """Return which of these (folded) BPS ids are synchronised accounts, and whether each is ours."""
        statement = (
            select(target_principals.c.bps_fold, target_users.c.origin)
            .join(target_users, target_users.c.key == target_principals.c.key)
            .where(target_users.c.status == "Synchronized")
        )
        with reading(self._database) as connection:
            few = statement.where(among(target_principals.c.bps_fold, folds, connection))
            return {row[0]: row[1] is not None for row in fetch_together(connection, few)}

    def load_holds(self, run_id: int, *causes: Cause) -> list[tuple[Action, int, str]]:
        """Return what a run withholds: action, number and reason; for these causes, or (none given) for any."""
        for_these = changes.c.error_cause.in_([cause.value for cause in causes]) if causes else true()
        statement = (
            select(changes.c.action, func.count(), changes.c.error)
            .where(changes.c.run_id == run_id, changes.c.status == "held", for_these)
            .group_by(changes.c.action, changes.c.error)
            .order_by(changes.c.action, changes.c.error)
        )
        with reading(self._database) as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(statement)]

    @in_thread
    def count_outcomes(self, run_id: int) -> dict[tuple[Action, ObjectKind, OutcomeStatus], int]:
        """Return how many changes of each kind ended how."""
        statement = (
            select(changes.c.action, changes.c.object, changes.c.status, func.count())
            .where(changes.c.run_id == run_id)
            .group_by(changes.c.action, changes.c.object, changes.c.status)
        )
        with reading(self._database) as connection:
            return {(row[0], row[1], row[2]): row[3] for row in connection.execute(statement)}


def _select_waiting(run_id: int, table: Table) -> Select[Any]:
    """Return the BPS ids of records of ours that are not synchronised and that planned changes name."""
    planned = changes.c.run_id == run_id, changes.c.status == "planned"
    waiting = (Phase.MANAGERS, Phase.LINKS, Phase.OWNERS, Phase.SUBSTITUTIONS, Phase.GRANTS)
    later = changes.c.phase.in_([int(phase) for phase in waiting])
    person, manager = desired_users.alias("person"), desired_users.alias("manager")
    managers = (
        select(manager.c.principal_key)
        .join(person, person.c.manager_key == manager.c.key)
        .join(changes, changes.c.source_key == person.c.key)
        .where(*planned, changes.c.phase == int(Phase.MANAGERS), manager.c.principal_key.is_not(None))
    )
    # Asked for each waiting record by its index: a plan has many more members than records.
    written = exists().where(changes.c.record_key == table.c.key, *planned, later)
    member = exists().where(changes.c.target_key == table.c.key, *planned, later)
    return (
        select(target_principals.c.bps_id)
        .join(table, table.c.key == target_principals.c.key)
        .where(
            table.c.status != literal_column("'Synchronized'"),  # as the index says it
            table.c.origin.is_not(None),
            written | member | table.c.key.in_(managers),
        )
    )


def _make_row(run_id: int, seq: int, placed: tuple[Change, int, int | None]) -> tuple[object, ...]:
    """Return the values of `_PLANNED`."""
    change, record, target = placed
    return (
        run_id,
        seq,
        int(change.phase),
        change.action,
        change.object,
        record,
        target,
        change.target if target is None or target < 0 else "",
        change.source_key,
        encode_json(change.before) if change.before else None,
        encode_json(change.after) if change.after else None,
        change.reason.cause.value,
        change.reason.text,
        "held" if change.held else "planned",
        change.held.cause.value,
        change.held.text,
    )


def _load_places(connection: Connection, few: Select[Any]) -> list[Placed]:
    """Return some changes, columns `_READ`, with the BPS ids behind their keys, in the order of the plan.

    Choosing them first keeps the join to those few.
    """
    chosen = few.subquery()
    target = target_principals.alias("target_principal")
    statement = (
        select(chosen, target_principals.c.bps_id.label("record_id"), target.c.bps_id.label("target_id"))
        .select_from(chosen)
        .join(target_principals, target_principals.c.key == chosen.c.record_key)
        .outerjoin(target, target.c.key == chosen.c.target_key)
    )
    return [_place(row) for row in sorted(fetch_together(connection, statement), key=itemgetter(1))]


def _place(row: Sequence[Any]) -> Placed:
    """Read a row by position: there may be hundreds of thousands of them."""
    (run_id, seq, phase, action, kind, record, target_key, target, source, before, after, cause, reason, status,
     error_cause, error, record_id, target_id) = row  # fmt: skip
    change = Change(
        phase=_PHASES[phase],
        action=action,
        object=kind,
        bps_id=record_id,
        target=target_id or target,
        source_key=source,
        before=decode_json(before),
        after=decode_json(after),
        reason=_read_reason(cause, reason),
    )
    stop = _read_reason(error_cause, error)
    return PlannedChange(run_id=run_id, seq=seq, change=change, status=status, error=stop), record, target_key


def _read_reason(cause: str, text: str) -> Reason:
    return Reason(_CAUSES[cause], text) if cause or text else NO_REASON
