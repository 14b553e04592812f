"""What the store knows of changes that may only return to a state of the last days; `syncd.plan.returns` decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, bindparam, func, literal, select, union_all

from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause
from syncd.plan.returns import Lately, Step, find_returns
from syncd.plan.words import say
from syncd.store.db.part import StorePart
from syncd.store.db.sql import decode_json
from syncd.store.plans.change_statements import MARK
from syncd.store.schema.tables import changes, runs, target_members, target_owners
from syncd.store.schema.types import UtcTime

_AT_ONCE = 500


class Returns(StorePart):
    """Its methods are called in the store's thread."""

    def mark_returns(self, run_id: int, *, since: datetime) -> Mapping[int, int]:
        """Note in a plan what only undoes what was done after ``since``; return how many, by the run that did it."""
        run = {"run": run_id}
        first = self._database.load_value(_FIND_FIRST, {"since": since, **run})
        if first is None:
            return {}
        window = {"first": first, **run}
        past = [_make_step(row) for row in self._database.load_rows(_SELECT_PAST, window)]
        if not past:
            return {}
        planned = [_make_step(row) for row in self._database.load_rows(_SELECT_PLANNED, run)]
        lately = Lately(
            past=past,
            fresh=set(self._database.load_values(_SELECT_FRESH, window)),
            older={(row[0], row[1], row[2]) for row in self._database.load_rows(_SELECT_OLDER, window)},
            came={row[0]: row[1] for row in self._database.load_rows(_COUNT_CAME, window)},
            filled={(row[0], row[1]): row[2] for row in self._database.load_rows(_COUNT_PEOPLE, run)},
        )
        found = find_returns(planned, lately)
        by_run: dict[int, list[int]] = {}
        for seq, before in found.items():
            by_run.setdefault(before, []).append(seq)
        with self._database.transaction() as connection:
            for before, seqs in sorted(by_run.items()):
                reason = say(Cause.RETURNS, run=before)
                values = {**run, "as": reason.cause.value, "because": reason.text}
                for start in range(0, len(seqs), _AT_ONCE):
                    connection.execute(MARK, {**values, "seqs": seqs[start : start + _AT_ONCE]})
        return {before: len(seqs) for before, seqs in sorted(by_run.items())}


def _make_step(row: Any) -> Step:
    return Step(
        run_id=row.run_id,
        seq=row.seq,
        action=row.action,
        place=(row.object, row.record_key, row.other),
        cause=Cause(row.cause),
        before=decode_json(row.before),
        after=decode_json(row.after),
    )


# ---- statements -----------------------------------------------------------------------------------------------------

_OTHER = func.coalesce(changes.c.target_key, 0).label("other")
_STEP = (
    changes.c.run_id, changes.c.seq, changes.c.action, changes.c.object, changes.c.record_key, _OTHER,
    changes.c.cause, changes.c.before, changes.c.after,
)  # fmt: skip
_DONE = changes.c.status.in_(("done", "started"))
_FIND_FIRST = select(func.min(runs.c.id)).where(
    runs.c.started_at >= bindparam("since", type_=UtcTime()), runs.c.id < bindparam("run")
)
_RETURNING = changes.c.action.in_(("unlink", "revoke", "update"))
_SELECT_PLANNED = select(*_STEP).where(changes.c.run_id == bindparam("run"), changes.c.status == "planned", _RETURNING)


def _select_at_planned(*columns: Any) -> Select[Any]:
    """Return what was done before at the places of what may return."""
    planned = changes.alias("planned")
    return (
        select(*columns)
        .join(
            planned,
            (planned.c.record_key == changes.c.record_key)
            & (planned.c.object == changes.c.object)
            & (func.coalesce(planned.c.target_key, 0) == func.coalesce(changes.c.target_key, 0)),
        )
        .where(
            planned.c.run_id == bindparam("run"),
            planned.c.status == "planned",
            planned.c.action.in_(("unlink", "revoke", "update")),
            _DONE,
        )
        .distinct()
    )


_IN_WINDOW = (changes.c.run_id >= bindparam("first")) & (changes.c.run_id < bindparam("run"))
_SELECT_PAST = _select_at_planned(*_STEP).where(_IN_WINDOW).order_by(changes.c.run_id, changes.c.seq)
_SELECT_OLDER = _select_at_planned(changes.c.object, changes.c.record_key, _OTHER).where(
    changes.c.run_id < bindparam("first")
)
_SELECT_FRESH = (
    select(changes.c.record_key)
    .where(_IN_WINDOW, changes.c.action.in_(("create", "adopt")), changes.c.object.in_(RECORD_KINDS), _DONE)
    .distinct()
)
_FRESH = _SELECT_FRESH.scalar_subquery()
_LAST = (
    select(
        *(changes.c[name] for name in ("run_id", "action", "cause")),
        func.row_number()
        .over(
            partition_by=(changes.c.object, changes.c.record_key, _OTHER),
            order_by=(changes.c.run_id.desc(), changes.c.seq.desc()),
        )
        .label("place"),
    )
    .where(
        _IN_WINDOW,
        _DONE,
        changes.c.object.in_((*RECORD_KINDS, "membership", "ownership")),
        changes.c.record_key.not_in(_FRESH),
        _OTHER.not_in(_FRESH),
    )
    .subquery()
)
_COUNT_CAME = (
    select(_LAST.c.run_id, func.count())
    .where(_LAST.c.place == 1, _LAST.c.action.in_(("link", "update")), _LAST.c.cause == Cause.NONE.value)
    .group_by(_LAST.c.run_id)
)


def _count_people(kind: str, links: Table) -> Select[Any]:
    """Return how many people are in each group that is to lose one."""
    losing = select(changes.c.record_key).where(
        changes.c.run_id == bindparam("run"),
        changes.c.status == "planned",
        changes.c.action == "unlink",
        changes.c.object == kind,
    )
    groups = links.c.group_key
    return select(literal(kind), groups, func.count()).where(groups.in_(losing.scalar_subquery())).group_by(groups)


_COUNT_PEOPLE = union_all(_count_people("membership", target_members), _count_people("ownership", target_owners))
