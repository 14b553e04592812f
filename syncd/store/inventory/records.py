"""The inventory: what the target has, and which of it is ours. Portal reads and the outcomes of our writes end here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Table,
    and_,
    delete,
    exists,
    func,
    literal,
    literal_column,
    null,
    select,
    update,
)

from syncd.model.change import LinkKind, ObjectKind, PlannedChange
from syncd.model.kinds import RecordKind
from syncd.model.target import Account, Fields, GroupDetail, PortalGroup, fold
from syncd.store.db.database import reading
from syncd.store.db.markers import FULL_PUSH_DUE, INVENTORY_READ, TARGET, load_marker, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import (
    among,
    delete_pairs,
    encode_json,
    insert_from,
    insert_keys,
    insert_pairs,
    json_field,
    set_json_fields,
    upsert,
)
from syncd.store.inventory.bps_ids import intern_bps_ids
from syncd.store.inventory.drift_notes import forget_accepted, forget_links_of, note_links, note_vanished
from syncd.store.schema.tables import (
    UtcTime,
    changes,
    desired_groups,
    seen_principals,
    substitutions,
    target_groups,
    target_licences,
    target_members,
    target_owners,
    target_principals,
    target_users,
)

_SHOWN_WITHIN = timedelta(hours=1)
"""A record that we created and that waits for synchronisation may be invisible for so long at most. The portal speaks
of seconds; whoever forgets such a record too early loses its ownership, and finds it again as a stranger's."""
_TABLES: Mapping[RecordKind, Table] = {"user": target_users, "group": target_groups}
LINKS: Mapping[LinkKind, Table] = {"membership": target_members, "ownership": target_owners}
_OWN_FIELDS: Mapping[RecordKind, tuple[str, ...]] = {
    "user": ("name", "email", "phone", "job_title", "manager"),
    "group": ("name", "email"),
}


class Inventory(StorePart):
    """Reads and writes what we know of the portal. Its methods are called in the store's thread."""

    @in_thread
    def bind_target(self, address: str) -> str | None:
        """Tie the inventory to the portal at this address; return the other address that it stays tied to, if any.

        What we own in one portal is somebody else's in another: only an inventory that owns nothing moves.
        """
        with self._database.transaction() as connection:
            known = load_marker(connection, TARGET)
            if known == address:
                return None
            owning = select(target_users.c.key).where(target_users.c.origin.is_not(None))
            owning_groups = select(target_groups.c.key).where(target_groups.c.origin.is_not(None))
            if known is not None:
                if connection.scalar(select(owning.exists() | owning_groups.exists())):
                    return known
                save_marker(connection, FULL_PUSH_DUE, "yes")
                started = changes.c.action == "create", changes.c.status == "started"
                connection.execute(update(changes).where(*started).values(status="dropped"))
            save_marker(connection, TARGET, address)
        return None

    # ---- reading the whole portal -----------------------------------------------------------------------------------

    @in_thread
    def begin_reading(self) -> None:
        """Forget what an earlier full read has met."""
        with self._database.transaction() as connection:
            connection.execute(delete(seen_principals))

    @in_thread
    def store_accounts(self, accounts: Sequence[Account]) -> None:
        """Take over a page of user records as the portal shows them; ownership is untouched."""
        self._store_records(target_users, "user", accounts)

    @in_thread
    def store_portal_groups(self, groups: Sequence[PortalGroup]) -> None:
        """Take over a page of groups."""
        self._store_records(target_groups, "group", groups)

    def _store_records(
        self, table: Table, kind: RecordKind, records: Sequence[Account] | Sequence[PortalGroup]
    ) -> None:
        fields = _OWN_FIELDS[kind]
        with self._database.transaction() as connection:
            keys = intern_bps_ids(connection, [record.bps_id for record in records], spelling=True)
            fresh = {
                keys[fold(record.bps_id)]: (record.status, *(getattr(record, name) for name in fields))
                for record in records
            }
            columns = [table.c.key, table.c.status, *(table.c[name] for name in fields)]
            there = {
                row[0]: tuple(row)[1:]
                for row in connection.execute(select(*columns).where(among(table.c.key, fresh, connection)))
            }
            rows = [
                {"key": key, "status": values[0], **dict(zip(fields, values[1:], strict=True))}
                for key, values in sorted(fresh.items())
                if there.get(key) != values
            ]
            upsert(connection, table, rows)
            insert_keys(connection, seen_principals, fresh)

    @in_thread
    def load_missing(self, kind: RecordKind, *, now: datetime) -> list[str]:
        """Return BPS ids of our records that the full read did not meet: each is read singly before it is gone.

        What was created so recently that the portal may not show it yet is not missing.
        """
        table = _TABLES[kind]
        statement = (
            select(target_principals.c.bps_id)
            .join(table, table.c.key == target_principals.c.key)
            .where(
                table.c.origin.is_not(None),
                table.c.key.not_in(select(seen_principals.c.key)),
                table.c.key.not_in(_select_unshown(table, now)),
            )
            .order_by(target_principals.c.bps_fold)
        )
        with reading(self._database) as connection:
            return list(connection.scalars(statement))

    @in_thread
    def forget_unseen(self, confirmed: Collection[str], *, now: datetime) -> None:
        """Drop what the full read did not meet: strangers at once, ours only when ``confirmed`` names them."""
        with self._database.transaction() as connection:
            unseen = select(seen_principals.c.key)
            keys = select(target_principals.c.key).where(
                among(target_principals.c.bps_fold, [fold(name) for name in confirmed] or [""], connection)
            )
            gone_groups = and_(
                target_groups.c.key.not_in(unseen), (target_groups.c.origin.is_(None)) | target_groups.c.key.in_(keys)
            )
            gone_users = and_(
                target_users.c.key.not_in(unseen), (target_users.c.origin.is_(None)) | target_users.c.key.in_(keys)
            )
            note_vanished(connection, "group", gone_groups, now=now)
            note_vanished(connection, "user", gone_users, now=now)
            for links in LINKS.values():
                in_gone = links.c.group_key.in_(select(target_groups.c.key).where(gone_groups))
                connection.execute(delete(links).where(in_gone))
            connection.execute(delete(target_groups).where(gone_groups))
            connection.execute(delete(target_users).where(gone_users))

    @in_thread
    def load_groups_to_detail(self, protect: Collection[str]) -> list[str]:
        """Return the portal's groups whose members matter: ours, those that a source group wants, and protected ones.

        ``protect``: folded BPS ids.
        """
        wanted = exists().where(
            desired_groups.c.principal_key == target_groups.c.key, desired_groups.c.state == "wanted"
        )
        statement = (
            select(target_principals.c.bps_id)
            .join(target_groups, target_groups.c.key == target_principals.c.key)
            .order_by(target_principals.c.bps_fold)
        )
        with reading(self._database) as connection:
            protected = among(target_principals.c.bps_fold, sorted(protect) or [""], connection)
            found = statement.where(target_groups.c.origin.is_not(None) | wanted | protected)
            return list(connection.scalars(found))

    @in_thread
    def store_group_detail(self, bps_id: str, detail: GroupDetail | None, *, now: datetime) -> None:
        """Take over one group with its members; None: the portal has no such group (any more)."""
        self.store_group_details.blocking([(bps_id, detail)], now=now)

    @in_thread
    def store_group_details(self, details: Sequence[tuple[str, GroupDetail | None]], *, now: datetime) -> None:
        """Take over groups with their members and owners, in one transaction."""
        with self._database.transaction() as connection:
            groups = intern_bps_ids(connection, [bps_id for bps_id, _ in details])
            unshown = set(connection.scalars(_select_unshown(target_groups, now)))
            details = [(bps_id, detail) for bps_id, detail in details if detail or groups[fold(bps_id)] not in unshown]
            keys = {groups[fold(bps_id)] for bps_id, _ in details}
            named = [each.bps_id for _, detail in details if detail for each in (*detail.members, *detail.owners)]
            people = intern_bps_ids(connection, named, spelling=True)
            gone = {groups[fold(bps_id)] for bps_id, detail in details if detail is None}
            for kind, links in LINKS.items():
                there = {
                    (row[0], row[1])
                    for row in connection.execute(select(links).where(among(links.c.group_key, keys, connection))).all()
                }
                wanted = {
                    (groups[fold(bps_id)], people[fold(each.bps_id)])
                    for bps_id, detail in details
                    if detail
                    for each in (detail.members if kind == "membership" else detail.owners)
                }
                lost = {pair for pair in there - wanted if pair[0] not in gone}
                note_links(connection, kind, came=wanted - there, went=lost, now=now)
                delete_pairs(connection, links, there - wanted)
                insert_pairs(connection, links, wanted - there)
            if gone:
                note_vanished(connection, "group", among(target_groups.c.key, gone, connection), now=now)
                connection.execute(delete(target_groups).where(among(target_groups.c.key, gone, connection)))
            rows = [
                {
                    "key": groups[fold(bps_id)],
                    "name": detail.group.name,
                    "email": detail.group.email,
                    "status": detail.group.status,
                }
                for bps_id, detail in details
                if detail
            ]
            upsert(connection, target_groups, rows)

    @in_thread
    def finish_reading(self) -> None:
        """Remember that the portal was read completely."""
        with self._database.transaction() as connection:
            save_marker(connection, INVENTORY_READ, "yes")
            connection.execute(delete(seen_principals))

    # ---- single records ---------------------------------------------------------------------------------------------

    @in_thread
    def store_account(self, bps_id: str, account: Account | None, *, now: datetime) -> None:
        """Take over one user record as a single read showed it; None: the portal has none (any more), nor its places.

        One that was created so recently that the portal may not show it yet stays.
        """
        if account is not None:
            self.store_accounts.blocking([account])
            return
        with self._database.transaction() as connection:
            key = intern_bps_ids(connection, [bps_id])[fold(bps_id)]
            if key in set(connection.scalars(_select_unshown(target_users, now))):
                return
            note_vanished(connection, "user", target_users.c.key == key, now=now)
            forget_record(connection, "user", key)

    @in_thread
    def set_synchronized(self, bps_ids: Collection[str]) -> None:
        """Remember that these records are ready."""
        with self._database.transaction() as connection:
            folded = {fold(bps_id) for bps_id in bps_ids}
            keys = select(target_principals.c.key).where(among(target_principals.c.bps_fold, folded, connection))
            for table in (target_users, target_groups):
                late = table.c.status != literal_column("'Synchronized'")
                connection.execute(update(table).where(table.c.key.in_(keys), late).values(status="Synchronized"))

    def count_owned(self, enough: Mapping[ObjectKind, int]) -> dict[ObjectKind, int]:
        """Return how many users, groups, memberships, ownerships and licences of the target are ours.

        ``enough``: the objects to count, and the number at which counting one of them ends, since more make no
        difference.
        """
        owned: dict[ObjectKind, Any] = {
            kind: select(literal(1))
            .select_from(links.join(target_groups, target_groups.c.key == links.c.group_key))
            .where(target_groups.c.origin.is_not(None))
            for kind, links in LINKS.items()
        }
        records: dict[ObjectKind, Table] = {"user": target_users, "group": target_groups, "licence": target_licences}
        for kind, table in records.items():
            owned[kind] = (
                select(literal(1)).select_from(table).where(table.c.origin.in_(("created", "adopted", "granted")))
            )
        with reading(self._database) as connection:
            return {
                kind: connection.scalar(select(func.count()).select_from(owned[kind].limit(number).subquery())) or 0
                for kind, number in enough.items()
                if kind in owned
            }


def _select_unshown(table: Table, now: datetime) -> Select[Any]:
    """Return the keys of records that we created and that the portal may not show yet."""
    return select(table.c.key).where(
        table.c.origin == "created",
        table.c.status == "WaitingForSynchronization",
        table.c.synced_at > literal(now - _SHOWN_WITHIN, UtcTime()),
    )


# ---- outcomes, within the transaction that records them --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """A record that was written: its key, the source object that wanted it, and the fields that were sent."""

    key: int
    source_key: int | None
    fields: Fields


def own_created(connection: Connection, kind: RecordKind, run_id: int, seqs: Sequence[int], *, now: datetime) -> None:
    """Records were created as these changes say: they are ours, and WEBCON still has to copy them.

    The database takes them over from the plan by itself: a first push creates everybody.
    """
    if not seqs:
        return
    table, fields = _TABLES[kind], _OWN_FIELDS[kind]
    sent = [json_field(connection, changes.c.after, name).label(name) for name in fields]
    created = select(
        changes.c.record_key,
        literal("WaitingForSynchronization"),
        literal("created"),
        changes.c.source_key,
        func.coalesce(changes.c.after, "{}"),
        null(),
        null(),
        literal(now, UtcTime()),
        *sent,
    ).where(changes.c.run_id == run_id, among(changes.c.seq, seqs, connection))
    columns = ["key", "status", "origin", "source_key", "written", "leaving_at", "leaving_as", "synced_at", *fields]
    insert_from(connection, table, columns, created)


def own_adopted(connection: Connection, kind: RecordKind, records: Sequence[Written], *, now: datetime) -> None:
    """Records that the portal had before us were adopted: they are ours from now on."""
    table = _TABLES[kind]
    for record in records:
        connection.execute(
            update(table)
            .where(table.c.key == record.key)
            .values(
                origin="adopted",
                source_key=record.source_key,
                written=encode_json(dict(record.fields)),
                leaving_at=None,
                leaving_as=None,
                synced_at=now,
                **record.fields,
            )
        )


def write_fields(
    connection: Connection, kind: RecordKind, written: Sequence[tuple[PlannedChange, int]], *, now: datetime
) -> None:
    """Fields of records of ours (a change and the key of its record) were written as these changes say.

    The database takes them over from the plan by itself: a first push sets nearly everybody's manager.
    """
    if not written:
        return
    table = _TABLES[kind]
    names: dict[int, set[str]] = {}
    times: Counter[int] = Counter()  # a record may have been written twice, and the later one holds
    alike: dict[tuple[int, int, tuple[str, ...]], list[int]] = {}
    for planned, record in written:
        fields = tuple(sorted(planned.change.after))
        alike.setdefault((times[record], planned.run_id, fields), []).append(planned.seq)
        times[record] += 1
        names.setdefault(record, set()).update(fields)
    for (_, run_id, fields), seqs in sorted(alike.items()):
        sent = {name: json_field(connection, changes.c.after, name) for name in fields}
        connection.execute(
            update(table)
            .where(changes.c.run_id == run_id, among(changes.c.seq, seqs, connection))
            .where(table.c.key == changes.c.record_key)
            .values(
                source_key=changes.c.source_key,
                written=set_json_fields(connection, table.c.written, sent),
                synced_at=now,
                **sent,
            )
        )
    forget_accepted(connection, table, names)


def forget_record(connection: Connection, kind: RecordKind, key: int) -> None:
    """A record is gone from the portal, and with it its memberships and ownerships."""
    table = _TABLES[kind]
    connection.execute(delete(table).where(table.c.key == key))
    forget_links_of(connection, kind, [key])
    for links in LINKS.values():
        column = links.c.member_key if kind == "user" else links.c.group_key
        connection.execute(delete(links).where(column == key))
    if kind == "user":
        connection.execute(delete(substitutions).where(substitutions.c.original_key == key))
