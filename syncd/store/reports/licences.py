"""Licences by type: the seats, who uses them, and how many people wait for one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Subquery, func, select

from syncd.model.licence import LICENCE_TYPES
from syncd.plan.licences import LICENCE_ROLE, name_licence_role
from syncd.store.db.database import Database, reading
from syncd.store.licences.seats import load_seats
from syncd.store.licences.taken import is_held
from syncd.store.runs.open_changes import find_newest_planned, is_in_force, is_open_still
from syncd.store.schema.tables import changes, desired_users, scope_members, target_licences


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceUse:
    """One type. ``seats`` None: the portal did not tell; ``waiting``: people who are to get one, and have none yet."""

    type: str
    seats: int | None
    by_rule: int
    by_hand: int
    waiting: int

    @property
    def is_short(self) -> bool:
        """Whether people wait for a seat; with a free one they wait for their accounts."""
        return self.waiting > 0 and (self.seats is None or self.seats <= self.by_rule + self.by_hand)


def load_licence_use(database: Database, ruled: Collection[str] = ()) -> list[LicenceUse]:
    """Return every type that has seats, is held, or is given by a rule (``ruled``), in the portal's order."""
    with reading(database) as connection:
        seats = load_seats(connection)
        held = {(row.type, bool(row.ours)): row.number for row in connection.execute(_COUNT_HELD)}
        newest = find_newest_planned(connection)
        speaks = is_in_force(newest) | is_open_still(connection, newest)
        waiting = {row[0]: row[1] for row in connection.execute(_COUNT_WAITING.where(speaks))}
    types = {*seats, *waiting, *ruled, *(kind for kind, _ in held)}
    return [
        LicenceUse(
            type=kind,
            seats=seats[kind][0] if kind in seats else None,
            by_rule=held.get((kind, True), 0),
            by_hand=held.get((kind, False), 0) + (max(0, seats[kind][1]) if kind in seats else 0),
            waiting=waiting.get(kind, 0),
        )
        for kind in sorted(types, key=_place)
    ]


def _place(kind: str) -> tuple[int, str]:
    known = LICENCE_TYPES
    return (known.index(kind) if kind in known else len(known)), kind


_OURS = target_licences.c.origin.is_not(None)
_COUNT_HELD = (
    select(target_licences.c.type, _OURS.label("ours"), func.count().label("number"))
    .where(is_held())
    .group_by(target_licences.c.type, _OURS)
)
_COUNT_WAITING = (
    select(changes.c.target, func.count(changes.c.record_key.distinct()))
    .where(
        changes.c.object == "licence",
        changes.c.action == "grant",
        changes.c.status.in_(("planned", "started", "deferred", "held", "failed")),
    )
    .group_by(changes.c.target)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCover:
    """One rule by its place in the settings: how many people it covers, and how many of them no earlier rule does."""

    place: int
    covers: int
    first: int


def load_rule_cover(database: Database, rules: int) -> list[RuleCover]:
    """Return whom each rule covers, by the groups as the last push over everybody saw them."""
    covers = {row[0]: row[1] for row in database.load_rows(_COUNT_COVERED)}
    first = {row[0]: row[1] for row in database.load_rows(_COUNT_FIRST)}
    return [
        RuleCover(place=place, covers=covers.get(role, 0), first=first.get(role, 0))
        for place, role in enumerate(map(name_licence_role, range(rules)))
    ]


def _make_first() -> Subquery:
    role = func.min(scope_members.c.role).label("role")
    return _covered(select(scope_members.c.key, role)).group_by(scope_members.c.key).subquery()


def _covered(statement: Select[Any]) -> Select[Any]:
    """Return a statement over those who are covered and belong into the portal."""
    wanted = (desired_users.c.key == scope_members.c.key) & (desired_users.c.state == "wanted")
    return statement.join(desired_users, wanted).where(scope_members.c.role.startswith(LICENCE_ROLE))


_FIRST = _make_first()
_COUNT_COVERED = _covered(select(scope_members.c.role, func.count())).group_by(scope_members.c.role)
_COUNT_FIRST = select(_FIRST.c.role, func.count()).group_by(_FIRST.c.role)
