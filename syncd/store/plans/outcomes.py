"""What became of each change, and what that means for the inventory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, Table, func, select, update

from syncd.model.change import Action, ObjectKind, Outcome, OutcomeStatus, PlannedChange
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause, Reason
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import among, decode_json, delete_pairs
from syncd.store.db.stops import stopped
from syncd.store.desired.leavers import mark_leaving
from syncd.store.inventory.drift_notes import forget_links, forget_vanished
from syncd.store.inventory.records import LINKS, Written, forget_record, own_adopted, own_created, write_fields
from syncd.store.licences.holdings import record_licences
from syncd.store.plans.links import finish
from syncd.store.plans.undo import give_back
from syncd.store.runs.retries import Place, note_failures
from syncd.store.schema.tables import (
    changes,
    desired_groups,
    desired_users,
    source_objects,
    target_groups,
    target_users,
)

Placed = tuple[PlannedChange, int, int | None]
"""A planned change with the key of its record and, for a membership, of its member."""

_SETTLING = frozenset({"create", "grant", "revoke"})
"""Actions that are marked as started before they are sent."""


class Outcomes(StorePart):
    """Records outcomes. Its methods are called in the store's thread."""

    @in_thread
    def mark(self, run_id: int, seqs: Sequence[int], status: OutcomeStatus) -> None:
        """Set the status of changes: ``started`` before they are sent, ``planned`` when they were not after all."""
        with self._database.transaction() as connection:
            connection.execute(
                update(changes)
                .where(changes.c.run_id == run_id, among(changes.c.seq, seqs, connection))
                .values(status=status)
            )

    @in_thread
    def claim_started(self, *, now: datetime, only: int | None = None) -> int:
        """Recognise as ours what was created without learning how it ended; return how many. ``only``: one record.

        To be called after the portal was read: a record that is there, that nobody owns, and that has the values which
        we sent when it was not there yet, is the one that we made. Any other stays a stranger's.
        """
        statement = select(changes).where(
            changes.c.action == "create",
            changes.c.status == "started",
            changes.c.object.in_(RECORD_KINDS),
        )
        if only is not None:
            statement = statement.where(changes.c.record_key == only)
        claimed = 0
        with self._database.transaction() as connection:
            for row in connection.execute(statement).all():
                table = target_users if row.object == "user" else target_groups
                there = connection.execute(select(table).where(table.c.key == row.record_key)).first()
                if there is None:
                    continue
                sent = decode_json(row.after)
                if there.origin is None and all(_same(getattr(there, name), value) for name, value in sent.items()):
                    own_created(connection, row.object, row.run_id, [row.seq], now=now)
                    connection.execute(update(table).where(table.c.key == row.record_key).values(status=there.status))
                    claimed += 1
                connection.execute(
                    update(changes)
                    .where(changes.c.run_id == row.run_id, changes.c.seq == row.seq)
                    .values(stopped("dropped", say(Cause.SETTLED_LATER)))
                )
        return claimed

    @in_thread
    def load_started_before(self, run_id: int, records: Collection[int]) -> set[int]:
        """Return records whose creation an earlier run sent without learning how it ended."""
        statement = select(changes.c.record_key).where(
            changes.c.run_id < run_id,
            changes.c.action == "create",
            changes.c.status == "started",
            changes.c.object.in_(RECORD_KINDS),
        )
        with reading(self._database) as connection:
            return set(connection.scalars(statement.where(among(changes.c.record_key, records, connection))))

    @in_thread
    def load_source_ids(self, run_id: int, seq: int) -> dict[str, str]:
        """Return the ids in the source of whom a change concerns: ``source_id``, and ``member_id`` of a member."""
        member = source_objects.alias("member")
        statement = (
            select(source_objects.c.id, member.c.id.label("member_id"))
            .select_from(changes)
            .outerjoin(source_objects, source_objects.c.key == changes.c.source_key)
            .outerjoin(
                target_users,
                (target_users.c.key == changes.c.target_key) & changes.c.object.in_(("membership", "ownership")),
            )
            .outerjoin(member, member.c.key == target_users.c.source_key)
            .where(changes.c.run_id == run_id, changes.c.seq == seq)
        )
        with reading(self._database) as connection:
            row = connection.execute(statement).first()
        found = {} if row is None else {"source_id": row.id, "member_id": row.member_id}
        return {name: value for name, value in found.items() if value is not None}

    @in_thread
    def record(
        self,
        run_id: int,
        results: Sequence[tuple[Placed, Outcome]],
        *,
        now: datetime,
    ) -> None:
        """Write outcomes, and what they mean for the inventory, in one transaction; `Links` does it for links."""
        with self._database.transaction() as connection:
            alike: dict[tuple[OutcomeStatus, Reason], list[int]] = {}
            done: dict[ObjectKind, list[Placed]] = {}
            settled: dict[Action, set[int]] = {}
            failed: dict[Place, Reason] = {}
            for placed, outcome in results:
                planned, record, target = placed
                kind, action = planned.change.object, planned.change.action
                alike.setdefault((outcome.status, outcome.error), []).append(outcome.seq)
                if outcome.status == "done":
                    done.setdefault(kind, []).append(placed)
                    if action in _SETTLING and kind != "substitution":
                        settled.setdefault(action, set()).add(record)
                elif outcome.status in ("failed", "started"):
                    failed[record, target or 0, kind] = outcome.error
            for (status, error), seqs in alike.items():
                finish(connection, run_id, seqs, status, error, now)
            for action, records in sorted(settled.items()):  # what an earlier run may have sent is settled now
                connection.execute(
                    update(changes)
                    .where(
                        changes.c.run_id < run_id,
                        changes.c.status == "started",
                        changes.c.action == action,
                        changes.c.object != "substitution",
                        among(changes.c.record_key, records, connection),
                    )
                    .values(stopped("dropped", say(Cause.SETTLED_LATER)))
                )
            for written in RECORD_KINDS:
                self._apply_records(connection, written, done.get(written, ()), now)
            for link, links in LINKS.items():
                unlinked = [(record, target) for _, record, target in done.get(link, ()) if target is not None]
                delete_pairs(connection, links, unlinked)
                forget_links(connection, link, unlinked)
            finished = [placed for kind in sorted(done) for placed in done[kind]]
            record_licences(connection, [(record, planned.change) for planned, record, _ in finished])
            past = [(record, target or 0, planned.change.object) for planned, record, target in finished]
            note_failures(connection, past, failed, now=now)

    def _apply_records(self, connection: Connection, kind: RecordKind, done: Sequence[Placed], now: datetime) -> None:
        """Take changes of accounts or of groups over into the inventory, a kind of change at a time."""
        adopted, returned = list[Written](), list[Written]()
        updated: list[tuple[PlannedChange, int]] = []
        created: dict[int, list[int]] = {}
        for planned, record, _ in done:
            change = planned.change
            if change.action == "delete":
                forget_record(connection, kind, record)
            elif change.action == "create":
                created.setdefault(planned.run_id, []).append(planned.seq)
            elif change.reason.cause is Cause.GIVES_BACK:
                returned.append(Written(record, change.source_key, change.after))
            elif change.action == "adopt":
                adopted.append(Written(record, change.source_key, change.after))
            else:
                updated.append((planned, record))
        for run_id, seqs in created.items():
            own_created(connection, kind, run_id, seqs, now=now)
        forget_vanished(connection, [r for planned, r, _ in done if planned.change.action in ("create", "adopt")])
        own_adopted(connection, kind, adopted, now=now)
        write_fields(connection, kind, updated, now=now)
        give_back(connection, kind, returned)
        arrived = [
            planned.change.source_key
            for planned, _, _ in done
            if planned.change.action == "adopt" or planned.change.reason.cause in (Cause.RENAMED, Cause.HANDED_OVER)
        ]
        if arrived:  # the grace of what they had before starts now
            table = target_users if kind == "user" else target_groups
            earlier = select(table.c.key).where(among(table.c.source_key, [key for key in arrived if key], connection))
            mark_leaving(connection, table, touched=earlier, now=now)

    @in_thread
    def has_current_account(self, source_key: int, besides: int) -> bool:
        """Return whether a source user owns the account that it should have: a renamed person has arrived."""
        return self._owns_desired(target_users, desired_users, source_key=source_key, besides=besides)

    def _owns_desired(self, table: Table, desired: Table, *, source_key: int, besides: int) -> bool:
        statement = (
            select(func.count())
            .select_from(table)
            .join(desired, (desired.c.principal_key == table.c.key) & (desired.c.key == table.c.source_key))
            .where(table.c.source_key == source_key, table.c.key != besides, table.c.origin.is_not(None))
        )
        with reading(self._database) as connection:
            return bool(connection.scalar(statement))

    @in_thread
    def is_owned_group(self, record: int) -> bool:
        """Return whether a group of the portal is ours."""
        with reading(self._database) as connection:
            return connection.scalar(select(target_groups.c.origin).where(target_groups.c.key == record)) is not None

    @in_thread
    def has_successor(self, record: int) -> bool:
        """Return whether the person who left this account by a rename has arrived at the new one."""
        with reading(self._database) as connection:
            source = connection.scalar(select(target_users.c.source_key).where(target_users.c.key == record))
        return source is not None and self.has_current_account.blocking(source, record)

    @in_thread
    def has_group_successor(self, record: int) -> bool:
        """Return whether the group that left this record by a rename has its new one."""
        with reading(self._database) as connection:
            source = connection.scalar(select(target_groups.c.source_key).where(target_groups.c.key == record))
        return source is not None and self._owns_desired(
            target_groups, desired_groups, source_key=source, besides=record
        )


def _same(found: str | None, sent: str | None) -> bool:
    """Compare a value as the portal shows it with the one sent: case and outer blanks do not matter."""
    return (found or "").strip().casefold() == (sent or "").strip().casefold()
