"""What a run did, beside how things stand now: the rows that undoing it, or approving what it held, looks at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, exists, func, or_, select, update

from syncd.model.change import OutcomeStatus, find_written
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause
from syncd.model.run import Approval
from syncd.model.target import ACCOUNT_FIELDS, GROUP_FIELDS
from syncd.plan.licences import HeldLicence
from syncd.plan.substitution import Arranged
from syncd.plan.undo.values import Done, Record
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import among, decode_json
from syncd.store.db.stops import stopped
from syncd.store.inventory.records import LINKS, Written
from syncd.store.licences.holdings import load_holding
from syncd.store.plans.changes import Placed, Plans
from syncd.store.schema.tables import (
    changes,
    substitutions,
    target_groups,
    target_licences,
    target_principals,
    target_users,
)

Standing = tuple[Done, int, int | None]
"""A change and how things stand, with the key of its record and, for a membership, of its member."""

_HELD: tuple[OutcomeStatus, ...] = ("held",)


class Undoing(StorePart):
    """Reads the store; nothing here decides. Its methods are called in the store's thread."""

    def iterate_standing(self, run_id: int, status: OutcomeStatus) -> Iterator[list[Standing]]:
        """Yield the changes of a run that ended in one way, in the plan's order, beside the inventory of now."""
        recreated = self._load_deleted(run_id)
        for chunk in Plans(self._database).iterate_changes(run_id, statuses=(status,)):
            yield self.load_standing(chunk, recreated)

    def load_settled_later(self, run_id: int, *, again: bool) -> list[Standing]:
        """Return what a run sent without learning how it ended, where only a later run found that out.

        ``again``: those that a later run did once more; otherwise those that nobody did since.
        """
        later = changes.alias("later")
        repeated = exists().where(
            later.c.run_id > run_id,
            later.c.record_key == changes.c.record_key,
            func.coalesce(later.c.target_key, 0) == func.coalesce(changes.c.target_key, 0),
            later.c.object == changes.c.object,
            later.c.action == changes.c.action,
            later.c.status == "done",
        )
        settled = (
            changes.c.run_id == run_id,
            changes.c.status == "dropped",
            changes.c.error_cause == Cause.SETTLED_LATER.value,
        )
        statement = select(changes.c.seq).where(*settled, repeated if again else ~repeated)
        with reading(self._database) as connection:
            seqs = list(connection.scalars(statement))
        return self.load_standing(Plans(self._database).load_places(run_id, seqs))

    def load_standing(self, chunk: list[Placed], recreated: Collection[int] = ()) -> list[Standing]:
        """Return changes beside the inventory of now. ``recreated``: records that count as there, gone or not."""
        users = {record for planned, record, _ in chunk if find_written(planned.change.object) == "user"}
        groups = {record for planned, record, _ in chunk if find_written(planned.change.object) == "group"}
        members = {target for _, _, target in chunk if target is not None}
        with reading(self._database) as connection:
            records = {
                "user": _load_records(connection, "user", users),
                "group": _load_records(connection, "group", groups),
            }
            pairs: dict[str, set[tuple[int, int]]] = {
                kind: _load_pairs(connection, links, groups=groups, members=members) for kind, links in LINKS.items()
            }
            there = set(connection.scalars(_select_accounts(connection, members))) | set(recreated)
            people = {
                record
                for planned, record, _ in chunk
                if planned.change.object == "licence"
                or (planned.change.object == "user" and planned.change.action in ("create", "delete"))
            }
            licences: Mapping[int, list[HeldLicence]] = load_holding(connection, people)
            moved = _load_moved(connection, chunk)
            stood_in = {record for planned, record, _ in chunk if planned.change.object == "substitution"}
            arranged = _load_arranged(connection, stood_in)
        return [
            (
                Done(
                    change=planned.change,
                    record=records[find_written(planned.change.object)].get(record),
                    linked=(record, target) in pairs.get(planned.change.object, ()),
                    member_there=target in there,
                    remade=record in recreated,
                    licences=tuple(licences.get(record, ())),
                    moved=(record, planned.change.target) in moved,
                    arranged=arranged.get(record),
                ),
                record,
                target,
            )
            for planned, record, target in chunk
        ]

    def _load_deleted(self, run_id: int) -> set[int]:
        """Return the records that a run deleted, and that are not there again."""
        there = select(target_users.c.key).union_all(select(target_groups.c.key))
        statement = select(changes.c.record_key).where(
            changes.c.run_id == run_id,
            changes.c.action == "delete",
            changes.c.object.in_(RECORD_KINDS),
            changes.c.status == "done",
            changes.c.record_key.not_in(there),
        )
        with reading(self._database) as connection:
            return set(connection.scalars(statement))

    @in_thread
    def load_released(self, approval: Approval) -> list[Standing]:
        """Return the held changes of a run that a person released, beside the inventory of now."""
        held = [
            placed
            for chunk in Plans(self._database).iterate_changes(approval.run_id, statuses=_HELD)
            for placed in chunk
            if approval.covers(placed[0].change.action, placed[0].change.bps_id, placed[0].change.target)
        ]
        recreated = {record for planned, record, _ in held if planned.change.action == "create"}
        return self.load_standing(held, recreated)

    @in_thread
    def settle_released(self, approval: Approval, result_run: int) -> None:
        """Note at the held changes that were released which run carries them out."""
        seqs = [
            planned.seq
            for chunk in Plans(self._database).iterate_changes(approval.run_id, statuses=_HELD)
            for planned, _, _ in chunk
            if approval.covers(planned.change.action, planned.change.bps_id, planned.change.target)
        ]
        with self._database.transaction() as connection:
            connection.execute(
                update(changes)
                .where(changes.c.run_id == approval.run_id, among(changes.c.seq, seqs or [-1], connection))
                .values(stopped("dropped", say(Cause.APPROVED, run=result_run)))
            )


def _load_records(connection: Connection, kind: str, keys: Collection[int]) -> dict[int, Record]:
    table = target_users if kind == "user" else target_groups
    names = ACCOUNT_FIELDS if kind == "user" else GROUP_FIELDS
    columns = [table.c.key, table.c.origin, table.c.source_key, table.c.written, *(table.c[name] for name in names)]
    rows = connection.execute(select(*columns).where(among(table.c.key, keys or [0], connection))).all()
    return {
        row[0]: Record(
            fields=dict(zip(names, tuple(row)[4:], strict=True)),
            origin=row[1],
            source_key=row[2],
            written=frozenset(decode_json(row[3])),
        )
        for row in rows
    }


def _load_moved(connection: Connection, chunk: list[Placed]) -> set[tuple[int, str]]:
    """Return (account, type) of licences given by hand that left an account together with its renamed person."""
    old = {
        record
        for planned, record, _ in chunk
        if planned.change.object == "licence" and planned.change.reason.cause is Cause.RENAMED
    }
    if not old:
        return set()
    t, before, now = target_licences, target_users.alias("before"), target_users.alias("now")
    statement = (
        select(before.c.key, t.c.type)
        .join(now, (now.c.source_key == before.c.source_key) & (now.c.key != before.c.key))
        .join(t, t.c.key == now.c.key)
        .where(among(before.c.key, old, connection), or_(t.c.origin.is_(None), t.c.origin == "moving"))
    )
    return {(row[0], row[1]) for row in connection.execute(statement)}


def _load_arranged(connection: Connection, keys: Collection[int]) -> dict[int, Arranged]:
    if not keys:
        return {}
    s, p = substitutions, target_principals
    statement = (
        select(s.c.original_key, s.c.substitute_key, p.c.bps_id, s.c.ends_at, s.c.confirmed)
        .join(p, p.c.key == s.c.substitute_key)
        .where(among(s.c.original_key, keys, connection))
    )
    return {
        row.original_key: Arranged(
            principal=row.substitute_key, bps_id=row.bps_id, ends_at=row.ends_at, confirmed=row.confirmed, fit=True
        )
        for row in connection.execute(statement)
    }


def _load_pairs(
    connection: Connection, links: Table, *, groups: Collection[int], members: Collection[int]
) -> set[tuple[int, int]]:
    if not groups or not members:
        return set()
    statement = select(links.c.group_key, links.c.member_key).where(
        among(links.c.group_key, groups, connection), among(links.c.member_key, members, connection)
    )
    return {(row[0], row[1]) for row in connection.execute(statement)}


def _select_accounts(connection: Connection, keys: Collection[int]) -> Any:
    return select(target_users.c.key).where(among(target_users.c.key, keys or [0], connection))


def give_back(connection: Connection, kind: RecordKind, records: Sequence[Written]) -> None:
    """Records are not ours any more: an adoption was undone."""
    table = target_users if kind == "user" else target_groups
    names = ("origin", "source_key", "written", "accepted", "leaving_at", "leaving_as", "synced_at")
    nobodys = dict.fromkeys(names)
    for record in records:
        connection.execute(update(table).where(table.c.key == record.key).values(**nobodys, **record.fields))
