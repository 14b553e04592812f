"""What a run did, beside how things stand now: the rows that undoing it, or approving what it held, looks at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, exists, func, or_, select, update

from syncd.model.change import LinkKind, OutcomeStatus, find_written
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause
from syncd.model.run import Approval
from syncd.model.target import ACCOUNT_FIELDS, GROUP_FIELDS
from syncd.plan.handover import SOURCE
from syncd.plan.licences import HeldLicence
from syncd.plan.substitution import Arranged
from syncd.plan.undo.values import Done, Record
from syncd.store.db.database import reading
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart
from syncd.store.db.sql import decode_json
from syncd.store.inventory.written import LINKS, TABLES, Written
from syncd.store.licences.holdings import load_holding
from syncd.store.plans.changes import Placed, Plans
from syncd.store.privileges.records import load_held_of
from syncd.store.schema.tables import (
    changes,
    source_objects,
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
        seqs = self._database.load_values(_SELECT_REPEATED if again else _SELECT_UNREPEATED, {"run": run_id})
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
                kind: _load_pairs(connection, kind, groups=groups, members=members) for kind in LINKS
            }
            there = set(connection.scalars(_SELECT_ACCOUNTS, {"keys": members})) | set(recreated)
            people = {
                record
                for planned, record, _ in chunk
                if planned.change.object == "licence"
                or (planned.change.object == "user" and planned.change.action in ("create", "delete"))
            }
            licences: Mapping[int, list[HeldLicence]] = load_holding(connection, people)
            moved = _load_moved(connection, chunk)
            formers = _load_formers(connection, chunk)
            stood_in = {record for planned, record, _ in chunk if planned.change.object == "substitution"}
            arranged = _load_arranged(connection, stood_in)
            allowed = load_held_of(connection, groups)
        return [
            (
                Done(
                    change=planned.change,
                    seq=planned.seq,
                    record=records[find_written(planned.change.object)].get(record),
                    linked=(record, target) in pairs.get(planned.change.object, ()),
                    member_there=target in there,
                    remade=record in recreated,
                    licences=tuple(licences.get(record, ())),
                    moved=(record, planned.change.target) in moved,
                    arranged=arranged.get(record),
                    former=formers.get(planned.change.before.get(SOURCE) or ""),
                    privileges=tuple(allowed.get(record, ())),
                ),
                record,
                target,
            )
            for planned, record, target in chunk
        ]

    def _load_deleted(self, run_id: int) -> set[int]:
        """Return the records that a run deleted, and that are not there again."""
        return set(self._database.load_values(_SELECT_DELETED, {"run": run_id}))

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


def _load_records(connection: Connection, kind: RecordKind, keys: Collection[int]) -> dict[int, Record]:
    names, rows = _FIELDS[kind], connection.execute(_SELECT_RECORDS[kind], {"keys": keys})
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
    return {(row[0], row[1]) for row in connection.execute(_SELECT_MOVED, {"keys": old})}


def _load_formers(connection: Connection, chunk: list[Placed]) -> dict[str, int]:
    """Return the keys of the former owners of records that passed, by their ids."""
    ids = {planned.change.before.get(SOURCE) for planned, _, _ in chunk if planned.change.action == "handover"}
    if not ids:
        return {}
    return {row[0]: row[1] for row in connection.execute(_SELECT_FORMERS, {"ids": sorted(filter(None, ids))})}


def _load_arranged(connection: Connection, keys: Collection[int]) -> dict[int, Arranged]:
    if not keys:
        return {}
    return {
        row.original_key: Arranged(
            principal=row.substitute_key, bps_id=row.bps_id, ends_at=row.ends_at, confirmed=row.confirmed, fit=True
        )
        for row in connection.execute(_SELECT_ARRANGED, {"keys": keys})
    }


def _load_pairs(
    connection: Connection, kind: LinkKind, *, groups: Collection[int], members: Collection[int]
) -> set[tuple[int, int]]:
    if not groups or not members:
        return set()
    rows = connection.execute(_SELECT_PAIRS[kind], {"groups": groups, "members": members})
    return {(row[0], row[1]) for row in rows}


def give_back(connection: Connection, kind: RecordKind, records: Sequence[Written]) -> None:
    """Records are not ours any more: an adoption was undone."""
    names = ("origin", "source_key", "written", "accepted", "leaving_at", "leaving_as", "synced_at")
    nobodys = dict.fromkeys(names)
    for record in records:
        connection.execute(_UPDATE_RECORD[kind], {**nobodys, **record.fields, "row_key": record.key})


# ---- statements -----------------------------------------------------------------------------------------------------

_RUN = changes.c.run_id == bindparam("run")
_FIELDS = {"user": ACCOUNT_FIELDS, "group": GROUP_FIELDS}


def _select_settled(*, again: bool) -> Select[Any]:
    later = changes.alias("later")
    repeated = exists().where(
        later.c.run_id > bindparam("run"),
        later.c.record_key == changes.c.record_key,
        func.coalesce(later.c.target_key, 0) == func.coalesce(changes.c.target_key, 0),
        later.c.object == changes.c.object,
        later.c.action == changes.c.action,
        later.c.status == "done",
    )
    settled = changes.c.status == "dropped", changes.c.error_cause == Cause.SETTLED_LATER.value
    return select(changes.c.seq).where(_RUN, *settled, repeated if again else ~repeated)


def _select_records(table: Table, names: Sequence[str]) -> Select[Any]:
    columns = [table.c.key, table.c.origin, table.c.source_key, table.c.written, *(table.c[name] for name in names)]
    return select(*columns).where(among_bound(table.c.key, "keys"))


def _select_moved() -> Select[Any]:
    t, before, now = target_licences, target_users.alias("before"), target_users.alias("now")
    return (
        select(before.c.key, t.c.type)
        .join(now, (now.c.source_key == before.c.source_key) & (now.c.key != before.c.key))
        .join(t, t.c.key == now.c.key)
        .where(among_bound(before.c.key, "keys"), or_(t.c.origin.is_(None), t.c.origin == "moving"))
    )


def _select_arranged() -> Select[Any]:
    s, p = substitutions, target_principals
    return (
        select(s.c.original_key, s.c.substitute_key, p.c.bps_id, s.c.ends_at, s.c.confirmed)
        .join(p, p.c.key == s.c.substitute_key)
        .where(among_bound(s.c.original_key, "keys"))
    )


_SELECT_REPEATED, _SELECT_UNREPEATED = _select_settled(again=True), _select_settled(again=False)
_SELECT_DELETED = select(changes.c.record_key).where(
    _RUN,
    changes.c.action == "delete",
    changes.c.object.in_(RECORD_KINDS),
    changes.c.status == "done",
    changes.c.record_key.not_in(select(target_users.c.key).union_all(select(target_groups.c.key))),
)
_SELECT_RECORDS = {kind: _select_records(table, _FIELDS[kind]) for kind, table in TABLES.items()}
_SELECT_ACCOUNTS = select(target_users.c.key).where(among_bound(target_users.c.key, "keys"))
_SELECT_MOVED = _select_moved()
_SELECT_FORMERS = select(source_objects.c.id, source_objects.c.key).where(
    among_bound(source_objects.c.id, "ids", textual=True)
)
_SELECT_ARRANGED = _select_arranged()
_SELECT_PAIRS = {
    kind: select(links.c.group_key, links.c.member_key).where(
        among_bound(links.c.group_key, "groups"), among_bound(links.c.member_key, "members")
    )
    for kind, links in LINKS.items()
}
_UPDATE_RECORD = {kind: update(table).where(table.c.key == bindparam("row_key")) for kind, table in TABLES.items()}
