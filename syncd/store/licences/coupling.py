"""The licence changes of a plan, between planning and sending: what goes together, and who gets a seat."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from syncd.model.change import OutcomeStatus, Phase
from syncd.model.reason import Cause, Reason
from syncd.plan.licences import FOR_DELETION, Claim, Shortage, allot
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import among
from syncd.store.db.stops import stopped
from syncd.store.licences.taken import is_held
from syncd.store.schema.tables import changes, target_licences, target_users

_LICENCE = changes.c.object == "licence"
_PLANNED = changes.c.status == "planned"
_STOPPED: tuple[OutcomeStatus, ...] = ("held", "deferred", "dropped")
_FOR_DELETION = [cause.value for cause in FOR_DELETION]


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

    @in_thread
    def drop_licences(self, run_id: int, reason: Reason) -> int:
        """Take every licence change out of a plan."""
        with self._database.transaction() as connection:
            return connection.execute(
                update(changes)
                .where(changes.c.run_id == run_id, _LICENCE, changes.c.status.in_(("planned", "held")))
                .values(stopped("dropped", reason))
            ).rowcount

    @in_thread
    def drop_given_by_hand(self, run_id: int) -> int:
        """Take those grants out of a plan that somebody made by hand meanwhile: they stay manual."""
        by_hand = exists().where(
            target_licences.c.key == changes.c.record_key,
            target_licences.c.type == changes.c.target,
            target_licences.c.origin.is_(None),
        )
        with self._database.transaction() as connection:
            return connection.execute(
                update(changes)
                .where(*_select_grants(run_id), by_hand)
                .values(stopped("dropped", say(Cause.GIVEN_BY_HAND)))
            ).rowcount

    @in_thread
    def couple_licences(self, run_id: int) -> None:
        """Let go only together what belongs together.

        Licences are taken because of a deletion only when the account is deleted, and it is deleted only without them.
        Whoever changes the type of licence keeps the old one until the new one is given.
        """
        with self._database.transaction() as connection:
            _keep_for_deletion(connection, run_id)
            _keep_accounts(connection, run_id)
            _keep_for_deletion(connection, run_id)  # of an account that stays for one licence the others stay, too
            _couple_moves(connection, run_id)
            _keep_old(connection, run_id)

    @in_thread
    def allot_seats(self, run_id: int, free: dict[str, int]) -> tuple[Shortage, ...]:
        """Put off the grants for which there is no seat, and free seats early where others wait for them.

        ``free``: seats by type, before this plan. Seats of licences that this plan takes for good are added.
        """
        with self._database.transaction() as connection:
            supply = dict(free)
            revoked = select(changes.c.target, func.count()).where(
                changes.c.run_id == run_id, _PLANNED, _LICENCE, changes.c.action == "revoke", changes.c.after.is_(None),
                changes.c.phase == int(Phase.REVOKES),
            )  # fmt: skip
            for kind, number in connection.execute(revoked.group_by(changes.c.target)):
                if kind in supply:
                    supply[kind] += number
            claims = _load_claims(connection, run_id)
            allotment = allot(claims, supply)
            by_reason: dict[str, list[int]] = {}
            for seq, shortage in allotment.without.items():
                by_reason.setdefault(shortage.reason, []).append(seq)
            for reason, seqs in sorted(by_reason.items()):
                connection.execute(
                    update(changes)
                    .where(changes.c.run_id == run_id, among(changes.c.seq, seqs, connection))
                    .values(stopped("deferred", say(Cause.NO_SEAT, shortage=reason)))
                )
            _keep_old(connection, run_id)
            if allotment.early:
                connection.execute(
                    update(changes)
                    .where(
                        changes.c.run_id == run_id,
                        _PLANNED,
                        _LICENCE,
                        changes.c.action == "revoke",
                        changes.c.target.in_(sorted(allotment.early)),
                    )
                    .values(phase=int(Phase.REVOKES))
                )
        return allotment.shortages

    @in_thread
    def defer_unready_grants(self, run_id: int) -> int:
        """Defer the grants whose account is not ours, not there, or not synchronised; return how many."""
        ready = exists().where(
            target_users.c.key == changes.c.record_key,
            target_users.c.status == "Synchronized",
            target_users.c.origin.is_not(None),
        )
        with self._database.transaction() as connection:
            put_off = connection.execute(
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
            _keep_old(connection, run_id)
        return put_off

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


def _keep_for_deletion(connection: Connection, run_id: int) -> None:
    """Take no licence because of a deletion that does not go on."""
    other = changes.alias("other")
    deletion = (
        other.c.run_id == run_id, other.c.record_key == changes.c.record_key,
        other.c.action == "delete", other.c.object == "user",
    )  # fmt: skip
    for status in _STOPPED:
        connection.execute(
            update(changes)
            .where(
                changes.c.run_id == run_id, _PLANNED, _LICENCE, changes.c.action == "revoke",
                changes.c.cause.in_(_FOR_DELETION), exists().where(*deletion, other.c.status == status),
            )
            .values(stopped(status, say(Cause.DELETION_STOPPED)))
        )  # fmt: skip


def _keep_accounts(connection: Connection, run_id: int) -> None:
    """Delete no account that keeps one of its licences."""
    other = changes.alias("other")
    in_way = (
        other.c.run_id == run_id, other.c.record_key == changes.c.record_key,
        other.c.object == "licence", other.c.action == "revoke", other.c.cause.in_(_FOR_DELETION),
    )  # fmt: skip
    for status in _STOPPED:
        connection.execute(
            update(changes)
            .where(
                changes.c.run_id == run_id, _PLANNED, changes.c.action == "delete", changes.c.object == "user",
                exists().where(*in_way, other.c.status == status),
            )
            .values(stopped(status, say(Cause.LICENCES_STAY)))
        )  # fmt: skip


def _couple_moves(connection: Connection, run_id: int) -> None:
    """A licence given by hand moves to the new account only when the old one gives it up, or has given it up."""
    other = changes.alias("other")
    given_up = and_(
        other.c.run_id == run_id,
        other.c.object == "licence",
        other.c.action == "revoke",
        other.c.source_key == changes.c.source_key,
        other.c.target == changes.c.target,
    )
    own = select(target_users.c.key).where(target_users.c.source_key == changes.c.source_key).correlate(changes)
    on_its_way = exists().where(
        or_(target_licences.c.key == changes.c.record_key, target_licences.c.key.in_(own)),
        target_licences.c.type == changes.c.target,
        target_licences.c.origin == "moving",
    )
    moves = (
        changes.c.run_id == run_id, _PLANNED, _LICENCE, changes.c.action == "grant",
        changes.c.cause == Cause.MOVED.value,
        ~on_its_way, ~exists().where(given_up, other.c.status == "planned"),
    )  # fmt: skip
    both: tuple[OutcomeStatus, ...] = ("held", "deferred")
    for status in both:
        connection.execute(
            update(changes)
            .where(*moves, exists().where(given_up, other.c.status == status))
            .values(stopped(status, say(Cause.MOVES_TOGETHER)))
        )
    connection.execute(update(changes).where(*moves).values(stopped("dropped", say(Cause.MANUAL_STAYS))))


def _keep_old(connection: Connection, run_id: int) -> None:
    """Put off the revokes of licences that another one takes the place of, where that one is not given."""
    other = changes.alias("other")
    waiting = exists().where(
        other.c.run_id == run_id,
        other.c.record_key == changes.c.record_key,
        other.c.object == "licence",
        other.c.action == "grant",
        other.c.target != changes.c.target,
        or_(other.c.status == "deferred", other.c.status == "held"),
    )
    connection.execute(
        update(changes)
        .where(
            changes.c.run_id == run_id,
            _PLANNED,
            _LICENCE,
            changes.c.action == "revoke",
            waiting,
        )
        .values(stopped("deferred", say(Cause.KEPT_UNTIL_GIVEN)))
    )
