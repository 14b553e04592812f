"""The licence changes of a plan, between planning and sending: what goes together, and who gets a seat."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, exists, func, select, update

from syncd.model.change import Phase
from syncd.model.reason import Cause
from syncd.plan.licences import Claim
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.stops import stopped
from syncd.store.licences.taken import is_held
from syncd.store.schema.tables import changes, target_licences, target_users


class LicencePlans(StorePart):
    """Settles the licence changes of a plan. Its methods are called in the store's thread."""

    @in_thread
    def count_grants(self, run_id: int) -> int:
        """Return how many planned grants need a seat."""
        counted: int = self._database.load_value(_COUNT_GRANTS, {"run": run_id})
        return counted

    @in_thread
    def has_licence_changes(self, run_id: int) -> bool:
        """Return whether a plan changes licences at all."""
        return bool(self._database.load_value(_HAS_LICENCE_CHANGES, {"run": run_id}))

    def load_claims(self, run_id: int, free: Mapping[str, int]) -> tuple[list[Claim], dict[str, int]]:
        """Return the planned grants that need a seat, and the free seats with those that this plan takes for good."""
        supply, run = dict(free), {"run": run_id}
        with reading(self._database) as connection:
            for kind, number in connection.execute(_COUNT_REVOKED, run):
                if kind in supply:
                    supply[kind] += number
            gives: dict[int, list[str]] = {}
            for record, kind in connection.execute(_SELECT_GIVEN_UP, run):
                gives.setdefault(record, []).append(kind)
            claims = [
                Claim(seq, kind, tuple(gives.get(record, ())))
                for seq, record, kind in connection.execute(_SELECT_GRANTS, run)
            ]
        return claims, supply

    def revoke_early(self, run_id: int, types: Collection[str]) -> None:
        """Free the seats of these types before any are given."""
        with self._database.transaction() as connection:
            connection.execute(_REVOKE_EARLY, {"run": run_id, "types": types})

    def defer_unready_grants(self, run_id: int) -> int:
        """Defer the grants whose account is not ours, not there, or not synchronised; return how many."""
        not_ready = say(Cause.NOT_READY, what="its account is not ready in the portal yet")
        with self._database.transaction() as connection:
            return connection.execute(_STOP_UNREADY, {**stopped("deferred", not_ready), "run": run_id}).rowcount

    @in_thread
    def has_licences(self, record: int) -> bool:
        """Return whether an account still has licences, as far as we know."""
        return bool(self._database.load_value(_HAS_LICENCES, {"record": record}))


# ---- statements -----------------------------------------------------------------------------------------------------

_RUN = changes.c.run_id == bindparam("run")
_LICENCE = changes.c.object == "licence"
_PLANNED = changes.c.status == "planned"
_REVOKES = _RUN, _PLANNED, _LICENCE, changes.c.action == "revoke"
# A grant that only changes the settings of a licence needs no seat: it says what was there before.
_GRANTS = _RUN, _PLANNED, _LICENCE, changes.c.action == "grant", changes.c.before.is_(None)
_COUNT_GRANTS = select(func.count()).where(*_GRANTS)
_SELECT_GRANTS = select(changes.c.seq, changes.c.record_key, changes.c.target).where(*_GRANTS).order_by(changes.c.seq)
_HAS_LICENCE_CHANGES = select(exists().where(_RUN, _LICENCE))
_COUNT_REVOKED = (
    select(changes.c.target, func.count())
    .where(*_REVOKES, changes.c.after.is_(None), changes.c.phase == int(Phase.REVOKES))
    .group_by(changes.c.target)
)
_SELECT_GIVEN_UP = select(changes.c.record_key, changes.c.target).where(
    *_REVOKES, changes.c.phase == int(Phase.GRANTS), changes.c.after.is_(None)
)
_REVOKE_EARLY = (
    update(changes)
    .where(*_REVOKES, among_bound(changes.c.target, "types", textual=True))
    .values(phase=int(Phase.REVOKES))
)
_STOP_UNREADY = update(changes).where(
    _RUN,
    _PLANNED,
    _LICENCE,
    changes.c.action == "grant",
    ~exists().where(
        target_users.c.key == changes.c.record_key,
        target_users.c.status == "Synchronized",
        target_users.c.origin.is_not(None),
    ),
)
_HAS_LICENCES = select(exists().where(target_licences.c.key == bindparam("record"), is_held()))
