"""What the changes of a run come to: how many, whom, why, and which group is hit worst."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, get_args

from sqlalchemy import Row, bindparam, case, distinct, func, select

from syncd.model.change import Action, ObjectKind, OutcomeStatus
from syncd.model.reason import Cause
from syncd.store.db.database import Database, reading
from syncd.store.db.parameters import among_bound
from syncd.store.schema.tables import changes, target_groups, target_members, target_principals

_REASONS = 20
"""So many reasons of one kind of change are told apart; what is left of them is a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstHit:
    """The group that loses most: its BPS id and name, how many members it loses, and of how many."""

    bps_id: str
    name: str | None
    lost: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSummary:
    """Changes of one kind. ``concerned``: so many people, or groups, it is about.

    ``reasons``: (cause, reason, why it is withheld or failed, how many), the most frequent first; ``others``: how many
    have none of them. ``values``: the types of licence, each with how many.
    """

    action: Action
    object: ObjectKind
    number: int
    concerned: int
    reasons: tuple[tuple[str, str, str, int], ...]
    others: int
    values: tuple[tuple[str, int], ...]
    worst: WorstHit | None


def load_summary(
    database: Database,
    run_id: int,
    statuses: Collection[OutcomeStatus],
    actions: Collection[Action] | None = None,
) -> list[KindSummary]:
    """Return a summary for each kind of change that a run has in these statuses, the most numerous first."""
    asked: dict[str, Any] = {
        "run": run_id,
        "statuses": statuses,
        "actions": actions or get_args(Action),
        "apart": Cause.FOLLOWS_ADOPTION.value,
    }
    with reading(database) as connection:
        kinds = connection.execute(_COUNT_KINDS, asked).all()
        reasons = connection.execute(_COUNT_REASONS, asked).all()
        values = connection.execute(_COUNT_LICENCES, asked).all()
        worst = connection.execute(_FIND_WORST, asked).first()
        named = None if worst is None else connection.execute(_NAME_GROUP, {"key": worst.record_key}).first()
    return [
        _sum_up(kind, reasons=reasons, values=values, worst=worst if named else None, named=named) for kind in kinds
    ]


def _sum_up(
    kind: Row[Any],
    *,
    reasons: Collection[Row[Any]],
    values: Collection[Row[Any]],
    worst: Row[Any] | None,
    named: Any,
) -> KindSummary:
    key = kind.action, kind.object
    told = [(row.cause, row.reason, row.error, row.number) for row in reasons if (row.action, row.object) == key]
    hit = None
    if worst is not None and key == ("unlink", "membership"):
        hit = WorstHit(bps_id=named.bps_id, name=named.name, lost=worst.number, of=named.members + worst.done)
    return KindSummary(
        action=kind.action,
        object=kind.object,
        number=kind.number,
        concerned=kind.targets if kind.object in ("membership", "ownership") else kind.records,
        reasons=tuple(told[:_REASONS]),
        others=kind.number - sum(number for *_, number in told[:_REASONS]),
        values=tuple((row.target, row.number) for row in values if (row.action, row.object) == key),
        worst=hit,
    )


# ---- statements -----------------------------------------------------------------------------------------------------

_NUMBER = func.count().label("number")
_CHOSEN = (
    changes.c.run_id == bindparam("run"),
    among_bound(changes.c.status, "statuses", textual=True),
    among_bound(changes.c.action, "actions", textual=True),
    changes.c.error_cause != bindparam("apart"),
)
_COUNT_KINDS = (
    select(
        changes.c.action,
        changes.c.object,
        _NUMBER,
        func.count(distinct(changes.c.record_key)).label("records"),
        func.count(distinct(changes.c.target_key)).label("targets"),
    )
    .where(*_CHOSEN)
    .group_by(changes.c.action, changes.c.object)
    .order_by(_NUMBER.desc(), changes.c.action, changes.c.object)
)
_COUNT_REASONS = (
    select(changes.c.action, changes.c.object, changes.c.cause, changes.c.reason, changes.c.error, _NUMBER)
    .where(*_CHOSEN)
    .group_by(changes.c.action, changes.c.object, changes.c.cause, changes.c.reason, changes.c.error)
    .order_by(_NUMBER.desc(), changes.c.reason, changes.c.error)
    .limit(200)
)
_COUNT_LICENCES = (
    select(changes.c.action, changes.c.object, changes.c.target, _NUMBER)
    .where(*_CHOSEN, changes.c.object == "licence")
    .group_by(changes.c.action, changes.c.object, changes.c.target)
    .order_by(_NUMBER.desc(), changes.c.target)
)
_FIND_WORST = (
    select(changes.c.record_key, _NUMBER, func.sum(case((changes.c.status == "done", 1), else_=0)).label("done"))
    .where(*_CHOSEN, changes.c.action == "unlink", changes.c.object == "membership")
    .group_by(changes.c.record_key)
    .order_by(_NUMBER.desc(), changes.c.record_key)
    .limit(1)
)
_NAME_GROUP = (
    select(
        target_principals.c.bps_id,
        target_groups.c.name,
        select(func.count()).where(target_members.c.group_key == bindparam("key")).scalar_subquery().label("members"),
    )
    .outerjoin(target_groups, target_groups.c.key == target_principals.c.key)
    .where(target_principals.c.key == bindparam("key"))
)
