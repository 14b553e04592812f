"""What became of each change, and what that means for the inventory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, func, select, update

from syncd.model.change import Action, Change, LinkKind, ObjectKind, Outcome, OutcomeStatus, PlannedChange
from syncd.model.history import Turn
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause, Reason
from syncd.plan.handover import SOURCE
from syncd.plan.words import say
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json, upsert
from syncd.store.db.stops import stopped
from syncd.store.desired.leavers import mark_left_by
from syncd.store.inventory.drift_notes import forget_accepted, forget_links, forget_vanished
from syncd.store.inventory.history import end_links, note_records
from syncd.store.inventory.written import (
    LINKS,
    OWN_FIELDS,
    TABLES,
    Written,
    forget_record,
    own_adopted,
    own_created,
    write_fields,
)
from syncd.store.licences.holdings import record_licences
from syncd.store.plans.links import finish
from syncd.store.plans.undo import give_back
from syncd.store.runs.retries import Place, note_failures
from syncd.store.schema.tables import (
    changes,
    desired_groups,
    desired_users,
    rejections,
    source_objects,
    target_groups,
    target_users,
)

Placed = tuple[PlannedChange, int, int | None]
"""A planned change with the key of its record and, for a membership, of its member."""

_SETTLING = frozenset({"create", "grant", "revoke"})
"""Actions that are marked as started before they are sent."""
_NOTED: tuple[ObjectKind, ...] = ("substitution", "privilege")
"""Objects that are noted elsewhere instead."""


class Outcomes(StorePart):
    """Records outcomes. Its methods are called in the store's thread."""

    @in_thread
    def mark(self, run_id: int, seqs: Sequence[int], status: OutcomeStatus) -> None:
        """Set the status of changes: ``started`` before they are sent, ``planned`` when they were not after all."""
        with self._database.transaction() as connection:
            connection.execute(_UPDATE, {"run": run_id, "seqs": seqs, "status": status})

    @in_thread
    def claim_started(self, *, now: datetime, only: int | None = None) -> int:
        """Recognise as ours what was created without learning how it ended; return how many. ``only``: one record.

        To be called after the portal was read: a record that is there, that nobody owns, and that has the values which
        we sent when it was not there yet, is the one that we made. Any other stays a stranger's.
        """
        claimed = 0
        with self._database.transaction() as connection:
            started = _SELECT_STARTED if only is None else _SELECT_STARTED_OF
            for row in connection.execute(started, {} if only is None else {"records": [only]}).all():
                there = connection.execute(_SELECT_RECORD[row.object], {"record": row.record_key}).first()
                if there is None:
                    continue
                sent = decode_json(row.after)
                if there.origin is None and all(_same(getattr(there, name), value) for name, value in sent.items()):
                    own_created(connection, row.object, row.run_id, [row.seq], now=now)
                    connection.execute(_UPDATE_RECORD[row.object], {"record": row.record_key, "status": there.status})
                    note_records(connection, row.object, [row.record_key], Turn.SETTLED.value, now=now)
                    claimed += 1
                settled = stopped("dropped", say(Cause.SETTLED_LATER))
                connection.execute(_UPDATE, {**settled, "run": row.run_id, "seqs": [row.seq]})
        return claimed

    @in_thread
    def load_started_before(self, run_id: int, records: Collection[int]) -> set[int]:
        """Return records whose creation an earlier run sent without learning how it ended."""
        return set(self._database.load_values(_SELECT_STARTED_BEFORE, {"run": run_id, "records": records}))

    @in_thread
    def load_source_ids(self, run_id: int, seq: int) -> dict[str, str]:
        """Return the ids in the source of whom a change concerns: ``source_id``, and ``member_id`` of a member."""
        row = self._database.load_row(_SELECT_SOURCE_IDS, {"run": run_id, "seq": seq})
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
                    if action in _SETTLING and kind not in _NOTED:
                        settled.setdefault(action, set()).add(record)
                elif outcome.status in ("failed", "started"):
                    failed[record, target or 0, kind] = outcome.error
            doubted = [place for place, reason in failed.items() if reason.cause is Cause.MAYBE_TAKEN]
            for (status, error), seqs in alike.items():
                finish(connection, run_id, seqs, status, error, now)
            for action, records in sorted(settled.items()):  # what an earlier run may have sent is settled now
                values = stopped("dropped", say(Cause.SETTLED_LATER))
                connection.execute(_SETTLE, {**values, "run": run_id, "sent": action, "records": records})
            for written in RECORD_KINDS:
                self._apply_records(connection, written, done.get(written, ()), run_id, now)
            for link in LINKS:
                _end_unlinked(connection, link, done.get(link, ()), run_id, now)
                # Where it may be there it counts as lacking if it is wanted, and as there if it is not.
                unsure = [place[:2] for place in doubted if place[2] == link]
                end_links(connection, link, unsure, Turn.UNSURE.value, now=now, run=run_id)
            finished = [placed for kind in sorted(done) for placed in done[kind]]
            record_licences(connection, run_id, [(record, planned.change) for planned, record, _ in finished], now=now)
            past = [(record, target or 0, planned.change.object) for planned, record, target in finished]
            note_failures(connection, past, failed, now=now)

    def _apply_records(
        self, connection: Connection, kind: RecordKind, done: Sequence[Placed], run_id: int, now: datetime
    ) -> None:
        """Take changes of accounts or of groups over into the inventory, a kind of change at a time."""
        adopted, returned = list[Written](), list[Written]()
        updated: list[tuple[PlannedChange, int]] = []
        created: dict[int, list[int]] = {}
        for planned, record, _ in done:
            change = planned.change
            if change.action == "delete":
                forget_record(connection, kind, record, deleted=True, now=now)
            elif change.action == "create":
                created.setdefault(planned.run_id, []).append(planned.seq)
            elif change.reason.cause is Cause.GIVES_BACK:
                returned.append(Written(record, change.source_key, change.after))
            elif change.action == "adopt":
                adopted.append(Written(record, change.source_key, change.after))
            else:
                updated.append((planned, record))
                if change.action == "handover":
                    _note_handover(connection, kind, planned, record)
        for run_id, seqs in created.items():
            own_created(connection, kind, run_id, seqs, now=now)
        forget_vanished(connection, [r for planned, r, _ in done if planned.change.action in ("create", "adopt")])
        own_adopted(connection, kind, adopted, now=now)
        write_fields(connection, kind, updated, now=now)
        give_back(connection, kind, returned)
        turned: dict[Turn, list[int]] = {}
        for planned, record, _ in done:
            turned.setdefault(_find_turn(planned.change), []).append(record)
        for turn, records in turned.items():
            note_records(connection, kind, records, turn.value, now=now, run=run_id)
        arrived = [
            planned.change.source_key
            for planned, _, _ in done
            if planned.change.action in ("adopt", "handover") or planned.change.reason.cause is Cause.RENAMED
        ]
        if arrived:  # the grace of what they had before starts now
            mark_left_by(connection, kind, [key for key in arrived if key], now=now)

    @in_thread
    def has_current_account(self, source_key: int, besides: int) -> bool:
        """Return whether a source user owns the account that it should have, and it is ready: they have arrived."""
        return self._owns_desired("user", source_key=source_key, besides=besides)

    def _owns_desired(self, kind: RecordKind, *, source_key: int, besides: int) -> bool:
        asked = {"source": source_key, "besides": besides}
        return bool(self._database.load_value(_COUNT_ARRIVED[kind], asked))

    @in_thread
    def is_owned_group(self, record: int) -> bool:
        """Return whether a group of the portal is ours."""
        row = self._database.load_row(_SELECT_RECORD["group"], {"record": record})
        return row is not None and row.origin is not None

    @in_thread
    def has_successor(self, record: int) -> bool:
        """Return whether the person who left this account by a rename has arrived at the new one, and it is ready."""
        return self._has_successor("user", record)

    @in_thread
    def has_group_successor(self, record: int) -> bool:
        """Return whether the group that left this record by a rename has its new one, and it is ready."""
        return self._has_successor("group", record)

    def _has_successor(self, kind: RecordKind, record: int) -> bool:
        row = self._database.load_row(_SELECT_RECORD[kind], {"record": record})
        source = None if row is None else row.source_key
        return source is not None and self._owns_desired(kind, source_key=source, besides=record)


def _end_unlinked(connection: Connection, link: LinkKind, done: Sequence[Placed], run_id: int, now: datetime) -> None:
    """These memberships or ownerships were taken out, for the causes that their changes have."""
    by_cause: dict[Cause, list[tuple[int, int]]] = {}
    for planned, record, target in done:
        if target is not None:
            by_cause.setdefault(planned.change.reason.cause, []).append((record, target))
    for cause, pairs in by_cause.items():
        end_links(connection, link, pairs, (cause or Cause.LEFT).value, now=now, run=run_id)
        forget_links(connection, link, pairs)


def _find_turn(change: Change) -> Turn:
    """Return what a change that was carried out means for whose its record is."""
    if change.reason.cause is Cause.GIVES_BACK:
        return Turn.GIVEN_BACK
    turns: Mapping[Action, Turn] = {
        "create": Turn.CREATED, "adopt": Turn.ADOPTED, "handover": Turn.HANDOVER, "delete": Turn.DELETED,
    }  # fmt: skip
    return turns.get(change.action, Turn.WRITTEN)


def _note_handover(connection: Connection, kind: RecordKind, planned: PlannedChange, record: int) -> None:
    """A record has another owner: what was accepted of the former one is over, and a group may keep its BPS id.

    What a person took back is not proposed again.
    """
    change = planned.change
    forget_accepted(connection, kind, {record: OWN_FIELDS[kind]})
    if change.reason.cause is Cause.GROUP_REMADE:
        connection.execute(_UPDATE_RECORD[kind], {"record": record, "bound": True})
    if change.reason.cause is Cause.UNDONE:
        place = {"record_key": record, "target_key": 0, "object": kind, "action": "handover"}
        taken_back = encode_json({SOURCE: change.before.get(SOURCE)})
        upsert(connection, rejections, [{**place, "after": taken_back, "run_id": planned.run_id}])


def _same(found: str | None, sent: str | None) -> bool:
    """Compare a value as the portal shows it with the one sent: case and outer blanks do not matter."""
    return (found or "").strip().casefold() == (sent or "").strip().casefold()


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_source_ids() -> Select[Any]:
    member = source_objects.alias("member")
    return (
        select(source_objects.c.id, member.c.id.label("member_id"))
        .select_from(changes)
        .outerjoin(source_objects, source_objects.c.key == changes.c.source_key)
        .outerjoin(
            target_users,
            (target_users.c.key == changes.c.target_key) & changes.c.object.in_(("membership", "ownership")),
        )
        .outerjoin(member, member.c.key == target_users.c.source_key)
        .where(changes.c.run_id == bindparam("run"), changes.c.seq == bindparam("seq"))
    )


def _count_arrived(table: Table, desired: Table) -> Select[Any]:
    return (
        select(func.count())
        .select_from(table)
        .join(desired, (desired.c.principal_key == table.c.key) & (desired.c.key == table.c.source_key))
        .where(
            table.c.source_key == bindparam("source"),
            table.c.key != bindparam("besides"),
            table.c.origin.is_not(None),
            table.c.status == "Synchronized",  # nobody can be put into a group, or sign in, before that
        )
    )


_OF_RECORDS = among_bound(changes.c.record_key, "records")
_STARTED = changes.c.action == "create", changes.c.status == "started", changes.c.object.in_(RECORD_KINDS)
_UPDATE = update(changes).where(changes.c.run_id == bindparam("run"), among_bound(changes.c.seq, "seqs"))
"""Writes the columns that are given into changes of a plan."""
_SETTLE = update(changes).where(
    changes.c.run_id < bindparam("run"),
    changes.c.status == "started",
    changes.c.action == bindparam("sent"),
    changes.c.object.not_in(_NOTED),
    _OF_RECORDS,
)
_SELECT_STARTED = select(changes).where(*_STARTED)
_SELECT_STARTED_OF = _SELECT_STARTED.where(_OF_RECORDS)
_SELECT_STARTED_BEFORE = select(changes.c.record_key).where(*_STARTED, changes.c.run_id < bindparam("run"), _OF_RECORDS)
_SELECT_SOURCE_IDS = _select_source_ids()
_SELECT_RECORD = {kind: select(table).where(table.c.key == bindparam("record")) for kind, table in TABLES.items()}
_UPDATE_RECORD = {kind: update(table).where(table.c.key == bindparam("record")) for kind, table in TABLES.items()}
_COUNT_ARRIVED: Mapping[RecordKind, Select[Any]] = {
    "user": _count_arrived(target_users, desired_users),
    "group": _count_arrived(target_groups, desired_groups),
}
