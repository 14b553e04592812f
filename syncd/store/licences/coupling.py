"""The licence changes of a plan, between planning and sending: what goes together, and who gets a seat."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, exists, func, select, update

from syncd.model.change import Phase
from syncd.model.reason import Cause
from syncd.plan.licences import Claim
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.stops import stopped
from syncd.store.licences.taken import is_held
from syncd.store.schema.tables import changes, target_licences, target_users

_LICENCE = changes.c.object == "licence"
_PLANNED = changes.c.status == "planned"


class LicencePlans(StorePart):
    """Settles the licence changes of a plan. Its methods are called in the store's thread."""

    @in_thread
    def count_grants(self, run_id: int) -> int:
        """Return how many planned grants need a seat."""
        with reading(self._database) as connection:
            return connection.scalar(select(func.count()).where(*_select_grants(run_id))) or 0

    @in_thread
    def has_licence_changes(self, run_id: int) -> bool:
        """Return whether a plan changes licences at all."""
        with reading(self._database) as connection:
            return bool(connection.scalar(select(exists().where(changes.c.run_id == run_id, _LICENCE))))

    def load_claims(self, run_id: int, free: Mapping[str, int]) -> tuple[list[Claim], dict[str, int]]:
        """Return the planned grants that need a seat, and the free seats with those that this plan takes for good."""
        supply = dict(free)
        revoked = select(changes.c.target, func.count()).where(
            changes.c.run_id == run_id, _PLANNED, _LICENCE, changes.c.action == "revoke", changes.c.after.is_(None),
            changes.c.phase == int(Phase.REVOKES),
        )  # fmt: skip
        with reading(self._database) as connection:
            for kind, number in connection.execute(revoked.group_by(changes.c.target)):
                if kind in supply:
                    supply[kind] += number
            return _load_claims(connection, run_id), supply

    def revoke_early(self, run_id: int, types: Collection[str]) -> None:
        """Free the seats of these types before any are given."""
        revokes = changes.c.run_id == run_id, _PLANNED, _LICENCE, changes.c.action == "revoke"
        with self._database.transaction() as connection:
            connection.execute(
                update(changes).where(*revokes, changes.c.target.in_(sorted(types))).values(phase=int(Phase.REVOKES))
            )

    def defer_unready_grants(self, run_id: int) -> int:
        """Defer the grants whose account is not ours, not there, or not synchronised; return how many."""
        ready = exists().where(
            target_users.c.key == changes.c.record_key,
            target_users.c.status == "Synchronized",
            target_users.c.origin.is_not(None),
        )
        with self._database.transaction() as connection:
            return connection.execute(
                update(changes)
                .where(
                    changes.c.run_id == run_id,
                    _PLANNED,
                    _LICENCE,
                    changes.c.action == "grant",
                    ~ready,
                )
                .values(stopped("deferred", say(Cause.NOT_READY, what="its account is not ready in the portal yet")))
            ).rowcount

    @in_thread
    def has_licences(self, record: int) -> bool:
        """Return whether an account still has licences, as far as we know."""
        with reading(self._database) as connection:
            there = target_licences.c.key == record, is_held()
            return bool(connection.scalar(select(exists().where(*there))))


def _select_grants(run_id: int) -> tuple[ColumnElement[bool], ...]:
    """A grant that only changes the settings of a licence needs no seat: it says what was there before."""
    return changes.c.run_id == run_id, _PLANNED, _LICENCE, changes.c.action == "grant", changes.c.before.is_(None)


def _load_claims(connection: Connection, run_id: int) -> list[Claim]:
    gives: dict[int, list[str]] = {}
    given_up = select(changes.c.record_key, changes.c.target).where(
        changes.c.run_id == run_id, _PLANNED, _LICENCE, changes.c.action == "revoke",
        changes.c.phase == int(Phase.GRANTS), changes.c.after.is_(None),
    )  # fmt: skip
    for record, kind in connection.execute(given_up):
        gives.setdefault(record, []).append(kind)
    wanted = select(changes.c.seq, changes.c.record_key, changes.c.target).where(*_select_grants(run_id))
    return [
        Claim(seq, kind, tuple(gives.get(record, ())))
        for seq, record, kind in connection.execute(wanted.order_by(changes.c.seq))
    ]
