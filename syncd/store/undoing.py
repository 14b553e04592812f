"""What a run did, beside how things stand now: the rows that undoing it, or approving what it held, looks at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, Table, select, update

from syncd.model.change import OutcomeStatus, find_written
from syncd.model.run import Approval
from syncd.model.target import ACCOUNT_FIELDS, GROUP_FIELDS
from syncd.plan.undo import Done, Record
from syncd.store.database import Database, reading
from syncd.store.inventory import LINKS, Written
from syncd.store.plans import Placed, Plans
from syncd.store.rows import among, decode_json
from syncd.store.tables import changes, target_groups, target_users

Standing = tuple[Done, int, int | None]
"""A change and how things stand, with the key of its record and, for a membership, of its member."""

_HELD: tuple[OutcomeStatus, ...] = ("held",)


class Undoing:
    """Reads the store; nothing here decides. Its methods are called in the store's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def iterate_standing(self, run_id: int, status: OutcomeStatus) -> Iterator[list[Standing]]:
        """Yield the changes of a run that ended in one way, in the plan's order, beside the inventory of now."""
        recreated = self._load_deleted(run_id)
        for chunk in Plans(self._database).iterate_changes(run_id, statuses=(status,)):
            yield self.load_standing(chunk, recreated)

    def load_standing(self, chunk: list[Placed], recreated: Collection[int] = ()) -> list[Standing]:
        """Return changes beside the inventory of now. ``recreated``: accounts that count as there, gone or not."""
        users = {record for planned, record, _ in chunk if find_written(planned.change.object) == "user"}
        groups = {record for planned, record, _ in chunk if find_written(planned.change.object) == "group"}
        members = {target for _, _, target in chunk if target is not None}
        with reading(self._database) as connection:
            records = {
                "user": _load_records(connection, "user", users),
                "group": _load_records(connection, "group", groups),
            }
            pairs: dict[str, set[tuple[int, int]]] = {
                kind: _load_pairs(connection, links, groups, members) for kind, links in LINKS.items()
            }
            there = set(connection.scalars(_select_accounts(connection, members))) | set(recreated)
        return [
            (
                Done(
                    planned.change,
                    records[find_written(planned.change.object)].get(record),
                    (record, target) in pairs.get(planned.change.object, ()),
                    target in there,
                ),
                record,
                target,
            )
            for planned, record, target in chunk
        ]

    def _load_deleted(self, run_id: int) -> set[int]:
        statement = select(changes.c.record_key).where(
            changes.c.run_id == run_id,
            changes.c.action == "delete",
            changes.c.object == "user",
            changes.c.status == "done",
        )
        with reading(self._database) as connection:
            return set(connection.scalars(statement))

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
                .values(status="dropped", error=f"approved, and carried out by run {result_run}")
            )


def _load_records(connection: Connection, kind: str, keys: Collection[int]) -> dict[int, Record]:
    table = target_users if kind == "user" else target_groups
    names = ACCOUNT_FIELDS if kind == "user" else GROUP_FIELDS
    columns = [table.c.key, table.c.origin, table.c.source_key, table.c.written, *(table.c[name] for name in names)]
    rows = connection.execute(select(*columns).where(among(table.c.key, keys or [0], connection))).all()
    return {
        row[0]: Record(dict(zip(names, tuple(row)[4:], strict=True)), row[1], row[2], frozenset(decode_json(row[3])))
        for row in rows
    }


def _load_pairs(
    connection: Connection, links: Table, groups: Collection[int], members: Collection[int]
) -> set[tuple[int, int]]:
    if not groups or not members:
        return set()
    statement = select(links.c.group_key, links.c.member_key).where(
        among(links.c.group_key, groups, connection), among(links.c.member_key, members, connection)
    )
    return {(row[0], row[1]) for row in connection.execute(statement)}


def _select_accounts(connection: Connection, keys: Collection[int]) -> Any:
    return select(target_users.c.key).where(among(target_users.c.key, keys or [0], connection))


def give_back(connection: Connection, kind: Literal["user", "group"], records: Sequence[Written]) -> None:
    """Records are not ours any more: an adoption was undone."""
    table = target_users if kind == "user" else target_groups
    names = ("origin", "source_key", "written", "accepted", "leaving_at", "leaving_as", "synced_at")
    nobodys = dict.fromkeys(names)
    for record in records:
        connection.execute(update(table).where(table.c.key == record.key).values(**nobodys, **record.fields))
