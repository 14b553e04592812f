"""What hangs on something else that a person rejected, or that is held: it is taken out of plans, or held, as well.

A rejected adoption, a rejected move of a renamed person; and the removals of memberships, which the portal would carry
out by itself when the group or the account is deleted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Table, exists, or_, select, update

from syncd.model.change import OutcomeStatus, Phase
from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause, Reason
from syncd.model.target import fold
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart
from syncd.store.db.sql import among, decode_json
from syncd.store.db.stops import stopped
from syncd.store.inventory.records import LINKS
from syncd.store.schema.tables import (
    changes,
    desired_users,
    rejections,
    target_groups,
    target_principals,
    target_users,
)


class Declined(StorePart):
    """Its methods are called in the store's thread."""

    def load_declined(self, run_id: int) -> set[int]:
        """Return the records of others whose adoption a person rejected, and that this plan does not propose anew."""
        found = set[int]()
        with reading(self._database) as connection:
            for kind, table in (("user", target_users), ("group", target_groups)):
                statement = (
                    select(rejections.c.record_key)
                    .join(table, (table.c.key == rejections.c.record_key) & table.c.origin.is_(None))
                    .where(rejections.c.action == "adopt", rejections.c.object == kind, ~_is_proposed(run_id, "adopt"))
                )
                found |= set(connection.scalars(statement))
        return found

    def load_unmoved(self, run_id: int) -> tuple[set[int], set[int]]:
        """Return the accounts whose creation for a renamed person was rejected, and the accounts that these have."""
        there = exists().where(target_users.c.key == rejections.c.record_key)
        rejected = (
            select(rejections.c.record_key, target_users.c.key)
            .join(desired_users, desired_users.c.principal_key == rejections.c.record_key)
            .join(target_users, target_users.c.source_key == desired_users.c.key)
            .where(
                desired_users.c.state == "wanted",
                target_users.c.origin.is_not(None),
                rejections.c.action == "create",
                rejections.c.object == "user",
                ~there.correlate(rejections),
                ~_is_proposed(run_id, "create"),
            )
        )
        with reading(self._database) as connection:
            refused = select(rejections.c.record_key).where(rejections.c.action == "create")
            records = list(connection.scalars(refused))
            few = rejected.where(among(desired_users.c.principal_key, records, connection))
            rows = connection.execute(few).all() if records else []
        return {row[0] for row in rows}, {row[1] for row in rows}

    def drop_updates(self, run_id: int, records: Collection[int], reason: Reason) -> None:
        """Take the updates of records out of a plan."""
        with self._database.transaction() as connection:
            own = changes.c.action == "update", changes.c.object.in_(RECORD_KINDS)
            theirs = changes.c.run_id == run_id, among(changes.c.record_key, records, connection), *own
            connection.execute(update(changes).where(*theirs).values(stopped("dropped", reason)))

    def drop_moves(self, run_id: int, unmade: Collection[int], kept: Collection[int], reason: Reason) -> None:
        """Take out of a plan that accounts which are not made become somebody's manager, or get somebody's tasks."""
        with self._database.transaction() as connection:
            names = set(
                connection.scalars(
                    select(target_principals.c.bps_fold).where(among(target_principals.c.key, unmade, connection))
                )
            )
            managers = select(changes.c.seq, changes.c.after).where(
                changes.c.run_id == run_id, changes.c.phase == Phase.MANAGERS, changes.c.action == "update"
            )
            seqs = [
                row.seq
                for row in connection.execute(managers).all()
                if fold(decode_json(row.after).get("manager") or "") in names
            ]
            tasks = (
                (changes.c.object == "substitution")
                & (changes.c.action == "create")
                & among(changes.c.record_key, kept, connection)
            )
            follows = tasks | among(changes.c.seq, seqs or [-1], connection)
            connection.execute(
                update(changes).where(changes.c.run_id == run_id, follows).values(stopped("dropped", reason))
            )

    def keep_deletions(self, run_id: int, *, rejected: bool) -> None:
        """Hold deletions of records whose places are held, and drop those whose places stay by rejection.

        The portal takes all memberships and ownerships of a deleted record along: nobody has allowed that then.
        ``rejected`` False: what a person rejected of other runs does not count.
        """
        other = changes.alias("other")
        held = other.c.run_id == run_id, other.c.action == "unlink", other.c.status == "held"
        refused = rejections.c.action == "unlink", or_(*(_is_there(table) for table in LINKS.values()))
        keeping: list[tuple[OutcomeStatus, Reason, Any, Any]] = [
            (
                "held",
                say(Cause.PLACES_HELD),
                select(other.c.record_key).where(*held),
                select(other.c.target_key).where(*held),
            )
        ]
        if rejected:
            groups, members = rejections.c.record_key, rejections.c.target_key
            keeping.append(
                ("dropped", say(Cause.PLACES_STAY), select(groups).where(*refused), select(members).where(*refused))
            )
        doomed = changes.c.run_id == run_id, changes.c.status == "planned", changes.c.action == "delete"
        with self._database.transaction() as connection:
            for status, reason, groups_kept, members_kept in keeping:
                kept = or_(
                    (changes.c.object == "group") & changes.c.record_key.in_(groups_kept),
                    (changes.c.object == "user") & changes.c.record_key.in_(members_kept),
                )
                connection.execute(update(changes).where(*doomed, kept).values(stopped(status, reason)))


def _is_there(links: Table) -> ColumnElement[bool]:
    """Return the condition that a place whose removal was rejected is there."""
    return (
        exists()
        .where(links.c.group_key == rejections.c.record_key, links.c.member_key == rejections.c.target_key)
        .correlate(rejections)
    )


def _is_proposed(run_id: int, action: str) -> Any:
    """Return the condition that a plan proposes anew what was rejected: its object has changed."""
    return exists().where(
        changes.c.run_id == run_id,
        changes.c.record_key == rejections.c.record_key,
        changes.c.action == action,
        changes.c.status != "dropped",
    )
