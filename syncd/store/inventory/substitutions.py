"""The substitutions that we made, and the accounts that may need one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Insert, Select, bindparam, case, delete, exists, func, insert, select, update

from syncd.plan.desired import LEAVER_STATES
from syncd.plan.substitution import Arranged, Departed, Superior
from syncd.store.db.markers import SUBSTITUTIONS_REFUSED, load_markers, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import upsert
from syncd.store.inventory.bps_ids import in_order, iterate_folded
from syncd.store.inventory.claims import is_taken
from syncd.store.schema.tables import (
    desired_users,
    source_users,
    substitutions,
    target_principals,
    target_users,
    touched_principals,
    touched_users,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSubstitution:
    """A substitution as we remember it; ``confirmed`` False: sent, and not known how it ended."""

    substitute: str
    ends_at: datetime
    number: int | None
    confirmed: bool


class Substitutions(StorePart):
    """Its methods are called in the store's thread."""

    # ---- planning ---------------------------------------------------------------------------------------------------

    def touch_left_to_managers(self) -> None:
        """Touch the accounts of leavers for whom a touched person stands in, or may do so instead of another one.

        Looked for downwards from the touched people, through those only whom nobody can turn to any more.
        """
        if not self._database.load_value(_HAS_TOUCHED):
            return
        with self._database.transaction() as connection:
            for statement in _TOUCH_LEFT:
                connection.execute(statement)

    def iterate_departed(self, *, touched_only: bool, grace: timedelta, now: datetime) -> Iterator[list[Departed]]:
        """Yield our accounts that somebody left within the grace, and every account with a substitution of ours."""
        few = _TOUCHED if touched_only else None
        for rows in iterate_folded(self._database, _DEPARTED, few, {"now": now, "grace_began": now - grace}):
            yield [_make_departed(row) for row in rows]

    def load_superiors(self, keys: Collection[int]) -> dict[int, Superior]:
        """Return what decides whether these people (source keys) may stand in for somebody."""
        rows = self._database.load_rows(_SELECT_SUPERIORS, {"keys": keys})
        return {
            row[0]: Superior(
                key=row[0],
                manager_key=row[1],
                principal=row[2],
                bps_id=row[3] or "",
                fit=row[4] == "wanted" and not row[5],
            )
            for row in rows
        }

    def forget_ended(self, *, now: datetime) -> None:
        """Forget the substitutions that have come to their end date."""
        if self._database.load_value(_HAS_ENDED, {"now": now}):
            with self._database.transaction() as connection:
                connection.execute(_FORGET_ENDED, {"now": now})

    # ---- applying ---------------------------------------------------------------------------------------------------

    @in_thread
    def load_substitution(self, original: int) -> KeptSubstitution | None:
        """Return our substitution for an account."""
        row = self._database.load_row(_SELECT_ONE, {"original": original})
        return (
            None
            if row is None
            else KeptSubstitution(
                substitute=row.bps_id, ends_at=row.ends_at, number=row.number, confirmed=row.confirmed
            )
        )

    @in_thread
    def keep_substitution(
        self, original: int, substitute: int, ends_at: datetime, *, number: int | None, confirmed: bool
    ) -> None:
        """Remember a substitution: before it is sent, so that a kill loses none, and when it is known how it ended."""
        row = {
            "original_key": original,
            "substitute_key": substitute,
            "ends_at": ends_at,
            "number": number,
            "confirmed": confirmed,
        }
        with self._database.transaction() as connection:
            upsert(connection, substitutions, [row])

    @in_thread
    def move_substitution_end(self, original: int, ends_at: datetime) -> None:
        """Remember that a substitution ends at another time."""
        with self._database.transaction() as connection:
            connection.execute(_UPDATE, {"original": original, "ends_at": ends_at})

    @in_thread
    def learn_substitution_number(self, original: int, number: int) -> None:
        """Remember the portal's number of a substitution."""
        with self._database.transaction() as connection:
            connection.execute(_UPDATE, {"original": original, "number": number})

    @in_thread
    def forget_substitution(self, original: int) -> None:
        """Forget a substitution that is over."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET, {"original": original})

    @in_thread
    def load_refusal(self) -> datetime | None:
        """Return when the portal last refused all substitutions, None when it did not."""
        text = load_markers(self._database, SUBSTITUTIONS_REFUSED).get(SUBSTITUTIONS_REFUSED)
        return datetime.fromisoformat(text) if text else None

    @in_thread
    def note_refusal(self, at: datetime | None) -> None:
        """Remember that the portal refuses all substitutions, or (None) that it does not any more."""
        with self._database.transaction() as connection:
            save_marker(connection, SUBSTITUTIONS_REFUSED, at.isoformat() if at else None)

    @in_thread
    def can_stand_in(self, original: int, substitute: int) -> bool:
        """Return whether both accounts are ours, synchronised, and the substitute's is with its present person."""
        found: int = self._database.load_value(_COUNT_READY, {"original": original, "substitute": substitute})
        return found == 2


def _make_departed(row: Any) -> Departed:
    if row.wanted:
        state = "wanted"
    elif row.origin is None:
        state = "gone"
    elif row.owner_state == "wanted" and row.heir_key != row.key:
        state = "renamed"
    else:
        state = row.owner_state or "unknown"
    heir = None
    if state == "renamed":
        heir = Superior(
            key=row.source_key, manager_key=None, principal=row.heir_key, bps_id=row.heir_id or "", fit=not row.blocked
        )
    arranged = None
    if row.substitute_key is not None:
        arranged = Arranged(
            principal=row.substitute_key,
            bps_id=row.substitute_id,
            ends_at=row.ends_at,
            confirmed=row.confirmed,
            fit=bool(row.fit),
        )
    leaving_at = row.leaving_at if row.leaving_as in (None, state) else None  # another grace begins
    return Departed(
        key=row.key,
        bps_id=row.bps_id,
        source_key=row.source_key,
        state=state,
        leaving_at=leaving_at,
        manager_key=row.manager_key,
        heir=heir,
        arranged=arranged,
    )


# ---- statements -----------------------------------------------------------------------------------------------------


def _touch_left() -> tuple[Insert, ...]:
    report = source_users.alias("report")
    standing = desired_users.alias("standing")
    below = (
        select(report.c.key).where(report.c.manager_key.in_(select(touched_users.c.key))).cte("below", recursive=True)
    )
    lower = source_users.alias("lower")
    below = below.union(
        select(lower.c.key)
        .join(below, below.c.key == lower.c.manager_key)
        .join(standing, standing.c.key == below.c.key)
        .where(standing.c.state != "wanted")
    )
    left = select(target_users.c.key).where(
        target_users.c.source_key.in_(select(below.c.key)), target_users.c.leaving_at.is_not(None)
    )
    stood_in = select(substitutions.c.original_key).where(
        substitutions.c.substitute_key.in_(select(touched_principals.c.key))
    )
    fresh = []
    for keys in (left, stood_in):
        found = keys.subquery()
        fresh.append(select(found.c[0]).where(found.c[0].not_in(select(touched_principals.c.key))).distinct())
    return tuple(insert(touched_principals).from_select(["key"], each) for each in fresh)


def _select_departed() -> Select[Any]:
    p, t, s = target_principals, target_users, substitutions
    owner, person = desired_users.alias("owner"), source_users.alias("person")
    heir, other = target_principals.alias("heir"), target_principals.alias("other")
    claim, follower = desired_users.alias("claim"), desired_users.alias("follower")
    standing = target_users.alias("standing")
    others = exists().where(standing.c.key == s.c.substitute_key, standing.c.source_key != follower.c.key)
    wanted = exists().where(claim.c.principal_key == p.c.key, claim.c.state == "wanted")
    renamed = (owner.c.state == "wanted") & (owner.c.principal_key != p.c.key)
    left = (
        t.c.origin.is_not(None)
        & ~wanted
        & (owner.c.state.in_(sorted(LEAVER_STATES)) | renamed)
        & (
            t.c.leaving_at.is_(None)
            | (t.c.leaving_at > bindparam("grace_began"))
            | (t.c.leaving_as != case((renamed, "renamed"), else_=owner.c.state))
        )
    )
    return (
        select(
            p.c.key, p.c.bps_id, p.c.bps_fold, t.c.source_key, t.c.origin, t.c.leaving_at, t.c.leaving_as,
            wanted.label("wanted"),
            owner.c.state.label("owner_state"), owner.c.principal_key.label("heir_key"),
            heir.c.bps_id.label("heir_id"), is_taken(owner.c.principal_key, "user").label("blocked"),
            person.c.manager_key,
            s.c.substitute_key, other.c.bps_id.label("substitute_id"), s.c.ends_at, s.c.confirmed,
            exists().where(
                follower.c.principal_key == s.c.substitute_key, follower.c.state == "wanted", ~others
            ).label("fit"),
        )
        .select_from(
            p.outerjoin(t, t.c.key == p.c.key)
            .outerjoin(s, (s.c.original_key == p.c.key) & (s.c.ends_at > bindparam("now")))
            .outerjoin(owner, owner.c.key == t.c.source_key)
            .outerjoin(person, person.c.key == t.c.source_key)
            .outerjoin(heir, heir.c.key == owner.c.principal_key)
            .outerjoin(other, other.c.key == s.c.substitute_key)
        )
        .where(s.c.original_key.is_not(None) | left)
    )  # fmt: skip


def _select_superiors() -> Select[Any]:
    return (
        select(
            source_users.c.key,
            source_users.c.manager_key,
            desired_users.c.principal_key,
            target_principals.c.bps_id,
            desired_users.c.state,
            is_taken(desired_users.c.principal_key, "user"),
        )
        .select_from(
            source_users.outerjoin(desired_users, desired_users.c.key == source_users.c.key).outerjoin(
                target_principals, target_principals.c.key == desired_users.c.principal_key
            )
        )
        .where(among_bound(source_users.c.key, "keys"))
    )


def _count_ready() -> Select[Any]:
    original = target_users.c.key == bindparam("original")
    substitute = target_users.c.key == bindparam("substitute")
    claimed = exists().where(
        substitute,
        desired_users.c.key == target_users.c.source_key,
        desired_users.c.principal_key == bindparam("substitute"),
        desired_users.c.state == "wanted",
    )
    return (
        select(func.count())
        .select_from(target_users)
        .where(
            original | substitute,
            target_users.c.origin.is_not(None),
            target_users.c.status == "Synchronized",
            original | claimed,
        )
    )


_ONE = substitutions.c.original_key == bindparam("original")
_ENDED = substitutions.c.ends_at <= bindparam("now")
_HAS_TOUCHED = select(exists().select_from(touched_users) | exists().select_from(touched_principals))
_TOUCH_LEFT = _touch_left()
_TOUCHED = select(touched_principals.c.key)
_DEPARTED = in_order(_select_departed())
_SELECT_SUPERIORS = _select_superiors()
_HAS_ENDED = select(exists().where(_ENDED))
_FORGET_ENDED = delete(substitutions).where(_ENDED)
_SELECT_ONE = (
    select(target_principals.c.bps_id, substitutions)
    .join(target_principals, target_principals.c.key == substitutions.c.substitute_key)
    .where(_ONE)
)
_UPDATE = update(substitutions).where(_ONE)
_FORGET = delete(substitutions).where(_ONE)
_COUNT_READY = _count_ready()
