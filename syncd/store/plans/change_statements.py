"""What is asked about the changes of plans: the statements of `syncd.store.plans.changes`, each built once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    case,
    distinct,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from syncd.model.change import LINK_PHASES, NEEDING_SUCCESSORS, NEEDING_SYNCHRONIZED, LinkKind, Phase
from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause
from syncd.store.db.parameters import among_bound, gather
from syncd.store.runs.open_changes import is_complete
from syncd.store.schema.tables import (
    Key,
    changes,
    desired_groups,
    desired_users,
    runs,
    target_groups,
    target_principals,
    target_users,
)

READ = (
    changes.c.run_id, changes.c.seq, changes.c.phase, changes.c.action, changes.c.object, changes.c.record_key,
    changes.c.target_key, changes.c.target, changes.c.source_key, changes.c.before, changes.c.after, changes.c.cause,
    changes.c.reason, changes.c.status, changes.c.error_cause, changes.c.error, changes.c.held_since,
)  # fmt: skip

UNCOUNTED = (Cause.COMPLETES_CREATION.value, Cause.RETURNS.value, Cause.RESPELLED.value)
"""Causes of what no guard counts."""
COUNTED_LINKS: tuple[LinkKind, ...] = ("membership", "ownership")
"""Whose numbers the row of links has, in this order, where the others have "counting" and "records"."""
_LINK_PHASES = tuple(int(phase) for phase in LINK_PHASES.values())
_RUN = changes.c.run_id == bindparam("run")


def run_where(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a change is of the run ``:run``, and of none unless ``condition``, which names no row.

    A plan may have a million changes: so none of them is looked at when nothing can be found.
    """
    return changes.c.run_id == select(bindparam("run", type_=Key)).where(condition).scalar_subquery()


def _count_planned() -> Select[Any]:
    c = changes.c
    counts = and_(c.cause.not_in(UNCOUNTED), c.object != "substitution")
    created = c.action == "create"
    moves = and_(created, c.object == "user", c.cause == Cause.RENAMED.value)
    leavers = and_(created, c.cause == Cause.STANDS_IN.value)
    return (
        select(
            c.action,
            c.object,
            func.sum(case((counts, 1), else_=0)).label("counting"),
            func.count(distinct(case((counts, c.record_key)))).label("records"),
            func.sum(case((moves, 1), else_=0)).label("moves"),
            func.sum(case((leavers, 1), else_=0)).label("leavers"),
        )
        .where(_RUN, c.phase.not_in(_LINK_PHASES), c.status == "planned")
        .group_by(c.action, c.object)
    )


def _count_links() -> Select[Any]:
    """Return how many links of each kind count, as one row in the same columns: "counting" and "records" are theirs.

    They are counted apart, because a plan has more of them than of all else: a list by kinds would be sorted first.
    """
    c = changes.c
    nothing: ColumnElement[Any] = literal_column("0")
    numbers: list[ColumnElement[Any]] = [
        func.count(case((c.phase == int(LINK_PHASES[kind]), 1))) for kind in COUNTED_LINKS
    ]
    columns: list[ColumnElement[Any]] = [
        literal_column("'link'").label("action"), literal_column("''").label("object"), *numbers, nothing, nothing
    ]  # fmt: skip
    return select(*columns).where(_RUN, c.phase.in_(_LINK_PHASES), c.status == "planned", c.cause.not_in(UNCOUNTED))


def _count_begun() -> Select[Any]:
    """Return how many planned creations an earlier run began, or would have begun if it had not been cut short."""
    earlier = changes.alias("earlier")
    cut_short = exists().where(
        runs.c.id == earlier.c.run_id,
        runs.c.status.in_(("running", "interrupted", "failed")),
        runs.c.kind != "plan",
        is_complete(),  # nothing was sent of another one
    )
    begun = exists().where(
        earlier.c.record_key == changes.c.record_key,
        earlier.c.run_id < bindparam("run"),
        earlier.c.action == "create",
        earlier.c.object == changes.c.object,
        earlier.c.status.in_(("started", "failed", "deferred")) | ((earlier.c.status == "planned") & cut_short),
    )
    made = changes.c.phase.not_in(_LINK_PHASES), changes.c.action == "create", changes.c.object.in_(RECORD_KINDS)
    planned = _RUN, *made, changes.c.status == "planned"
    return (
        select(changes.c.object, func.count())
        .where(*planned, changes.c.cause != Cause.RENAMED.value, begun)
        .group_by(changes.c.object)
    )


def place_rows(few: Select[Any]) -> Select[Any]:
    """Return a gathered statement for some changes, columns `READ`, with the BPS ids behind their keys.

    Choosing them first keeps the join to those few.
    """
    chosen = few.subquery()
    target = target_principals.alias("target_principal")
    return gather(
        select(chosen, target_principals.c.bps_id.label("record_id"), target.c.bps_id.label("target_id"))
        .select_from(chosen)
        .join(target_principals, target_principals.c.key == chosen.c.record_key)
        .outerjoin(target, target.c.key == chosen.c.target_key)
    )


def _select_waiting(table: Table, desired: Table) -> Select[Any]:
    """Return the BPS ids of records of ours that are not synchronised and that planned changes name.

    Or that take the place of a renamed one which is to lose something: it loses nothing before they are ready.
    """
    planned = _RUN, changes.c.status == "planned"
    later = changes.c.phase.in_(sorted(map(int, NEEDING_SYNCHRONIZED)))
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
            written | member | table.c.key.in_(managers) | _succeeds(table, desired, *planned),
        )
    )


def _succeeds(table: Table, desired: Table, *planned: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a record is to have the place of a renamed one from which a change takes something."""
    former = table.alias("former")
    keys = (changes.c.record_key, changes.c.target_key) if table is target_users else (changes.c.record_key,)
    cause = Cause.RENAMED if table is target_users else Cause.GROUP_RENAMED
    renamed = changes.c.cause == cause.value, changes.c.phase.in_(sorted(map(int, NEEDING_SUCCESSORS)))
    taken = (exists().where(key == former.c.key, *planned, *renamed) for key in keys)
    return and_(
        exists().where(desired.c.principal_key == table.c.key, desired.c.key == table.c.source_key),
        exists().where(former.c.source_key == table.c.source_key, former.c.key != table.c.key, or_(*taken)),
    )


def _select_newest_try() -> Select[Any]:
    cut_short = runs.c.status.in_(("running", "interrupted", "failed"))
    return (
        select(changes.c.status)
        .join(runs, runs.c.id == changes.c.run_id)
        .where(
            changes.c.record_key == bindparam("record"),
            changes.c.target_key == bindparam("target"),
            changes.c.action == bindparam("action"),
            changes.c.object == bindparam("kind"),
            runs.c.kind != "plan",
            cut_short | (changes.c.status != "planned"),
        )
        .order_by(changes.c.run_id.desc())
        .limit(1)
    )


PAGE = (
    select(*READ)
    .where(_RUN, changes.c.phase == bindparam("phase"), changes.c.seq > bindparam("after"))
    .order_by(changes.c.seq)
    .limit(bindparam("most"))
)
CHANGES = place_rows(PAGE)
CHANGES_OF_STATUS = place_rows(PAGE.where(among_bound(changes.c.status, "statuses", textual=True)))
CHANGES_CHOSEN = place_rows(
    PAGE.where(
        among_bound(changes.c.status, "statuses", textual=True), among_bound(changes.c.action, "actions", textual=True)
    )
)
SELECT_FIRST = (
    select(changes.c.seq)
    .where(
        _RUN,
        changes.c.status == bindparam("status"),
        changes.c.error_cause != bindparam("apart"),
        among_bound(changes.c.action, "actions", textual=True),
    )
    .order_by(changes.c.phase, changes.c.action, changes.c.object, changes.c.error, changes.c.reason, changes.c.seq)
    .limit(bindparam("most"))
)
CHANGES_PLANNED = place_rows(PAGE.where(changes.c.status == "planned"))
CHANGES_AT = place_rows(select(*READ).where(_RUN, among_bound(changes.c.seq, "seqs")))
COUNT_PLANNED = union_all(_count_planned(), _count_links())
COUNT_BEGUN = _count_begun()
COUNT_HOLDS = (
    select(changes.c.action, func.count(), changes.c.error)
    .where(_RUN, changes.c.status == "held", among_bound(changes.c.error_cause, "causes", textual=True))
    .group_by(changes.c.action, changes.c.error)
    .order_by(changes.c.action, changes.c.error)
)
COUNT_FOLLOWING = select(func.count()).where(
    _RUN, changes.c.status == "dropped", changes.c.error_cause == Cause.FOLLOWS_ADOPTION.value
)
COUNT_PHASES = (
    select(changes.c.phase, func.count()).where(_RUN, changes.c.status == "planned").group_by(changes.c.phase)
)
COUNT_OUTCOMES = (
    select(changes.c.action, changes.c.object, changes.c.status, func.count())
    .where(_RUN)
    .group_by(changes.c.action, changes.c.object, changes.c.status)
)
SELECT_PHASES = select(changes.c.phase).where(_RUN).distinct()
SELECT_ADOPTIONS = select(changes.c.record_key).where(_RUN, changes.c.action == "adopt")
SELECT_NEWEST_TRY = _select_newest_try()
_WAITING = (_select_waiting(target_users, desired_users), _select_waiting(target_groups, desired_groups))
SELECT_WAITING = tuple(waiting.limit(bindparam("most")) for waiting in _WAITING)
COUNT_WAITING = tuple(select(func.count()).select_from(waiting.subquery()) for waiting in _WAITING)
SELECT_READY = gather(
    select(target_principals.c.bps_fold, target_users.c.origin)
    .join(target_users, target_users.c.key == target_principals.c.key)
    .where(target_users.c.status == "Synchronized", among_bound(target_principals.c.bps_fold, "folds", textual=True))
)
LOAD_DELETIONS = (
    select(target_principals.c.bps_id)
    .join(changes, changes.c.record_key == target_principals.c.key)
    .where(_RUN, changes.c.phase == int(Phase.USER_DELETES), changes.c.status == "planned")
    .order_by(changes.c.seq)
    .limit(bindparam("most"))
)
MARK = (
    update(changes)
    .where(_RUN, among_bound(changes.c.seq, "seqs"))
    .values(cause=bindparam("as"), reason=bindparam("because"))
)
"""Gives changes of a plan a cause that was found later."""
