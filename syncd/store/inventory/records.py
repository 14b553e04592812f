"""The inventory: what the target has, and which of it is ours. Portal reads and the outcomes of our writes end here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Table

from syncd.model.change import ObjectKind
from syncd.model.history import Turn
from syncd.model.kinds import RecordKind
from syncd.model.target import Account, GroupDetail, PortalGroup, fold
from syncd.store.db.markers import FULL_PUSH_DUE, INVENTORY_READ, TARGET, load_marker, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import insert_keys, upsert
from syncd.store.inventory.bps_ids import intern_bps_ids
from syncd.store.inventory.drift_notes import LinksOfOurs, note_links, note_vanished
from syncd.store.inventory.history import begin_links, end_links, note_gone, note_records
from syncd.store.inventory.record_statements import (
    COUNT_OWNED,
    DELETE_GROUPS,
    DROP_STARTED,
    END_UNSEEN,
    FORGET_GIVEN_UNSEEN,
    FORGET_SEEN,
    FORGET_UNSEEN,
    KINDS,
    OWNS_ANYTHING,
    SELECT_ACCOUNTS,
    SELECT_GROUPS_TO_DETAIL,
    SELECT_LINKS,
    SET_SYNCHRONIZED,
    select_chosen,
    select_gone,
    select_missing,
    select_stored,
    select_unshown,
)
from syncd.store.inventory.spellings import take_as_written
from syncd.store.inventory.written import LINKS, OWN_FIELDS, forget_record
from syncd.store.schema.tables import seen_principals, target_groups, target_users

Pair = tuple[int, int]
_SHOWN_WITHIN = timedelta(hours=1)
"""A record that we created and that waits for synchronisation may be invisible for so long at most. The portal speaks
of seconds; whoever forgets such a record too early loses its ownership, and finds it again as a stranger's."""


class Inventory(StorePart):
    """Reads and writes what we know of the portal. Its methods are called in the store's thread."""

    @in_thread
    def bind_target(self, address: str) -> str | None:
        """Tie the inventory to the portal at this address; return the other address that it stays tied to, if any.

        What we own in one portal is somebody else's in another: only an inventory that owns nothing moves.
        """
        if load_markers(self._database, TARGET).get(TARGET) == address:
            return None
        with self._database.transaction() as connection:
            known = load_marker(connection, TARGET)
            if known is not None:
                if connection.scalar(OWNS_ANYTHING):
                    return known
                save_marker(connection, FULL_PUSH_DUE, "yes")
                connection.execute(DROP_STARTED)
            save_marker(connection, TARGET, address)
        return None

    # ---- reading the whole portal -----------------------------------------------------------------------------------

    @in_thread
    def begin_reading(self) -> None:
        """Forget what an earlier full read has met."""
        with self._database.transaction() as connection:
            connection.execute(FORGET_SEEN)

    @in_thread
    def store_accounts(self, accounts: Sequence[Account]) -> Counter[str]:
        """Take over a page of user records as the portal shows them; ownership is untouched.

        Returns how many values turned out to be the portal's spelling of what we wrote, by field.
        """
        return self._store_records(target_users, "user", accounts)

    @in_thread
    def store_portal_groups(self, groups: Sequence[PortalGroup]) -> Counter[str]:
        """Take over a page of groups, as `store_accounts`."""
        return self._store_records(target_groups, "group", groups)

    def _store_records(
        self, table: Table, kind: RecordKind, records: Sequence[Account] | Sequence[PortalGroup]
    ) -> Counter[str]:
        with self._database.transaction() as connection:
            keys = intern_bps_ids(connection, [record.bps_id for record in records], spelling=True)
            shown = {keys[fold(record.bps_id)]: record for record in records}
            settled = _take_over(connection, table, kind, shown)
            insert_keys(connection, seen_principals, shown)
        return settled

    @in_thread
    def load_missing(self, kind: RecordKind, *, now: datetime) -> list[str]:
        """Return BPS ids of our records that the full read did not meet: each is read singly before it is gone.

        What was created so recently that the portal may not show it yet is not missing.
        """
        return self._database.load_values(select_missing(kind), {"since": now - _SHOWN_WITHIN})

    @in_thread
    def forget_unseen(self, confirmed: Collection[str], *, now: datetime) -> None:
        """Drop what the full read did not meet: strangers at once, ours only when ``confirmed`` names them."""
        with self._database.transaction() as connection:
            given = {"confirmed": [fold(name) for name in confirmed]}
            for kind in KINDS:
                note_vanished(connection, kind, select_gone(kind), given, now=now)
            for ending in END_UNSEEN:
                ending.run(connection, given, Turn.GROUP_GONE.value, now=now)
            for given_there in FORGET_GIVEN_UNSEEN:
                connection.execute(given_there, given)
            for kind, statement in FORGET_UNSEEN.items():
                connection.execute(statement, given)
                note_gone(connection, kind, now=now)

    @in_thread
    def load_groups_to_detail(self, protect: Collection[str]) -> list[str]:
        """Return the portal's groups whose members matter: ours, those that a source group wants, and protected ones.

        ``protect``: folded BPS ids.
        """
        return self._database.load_values(SELECT_GROUPS_TO_DETAIL, {"protected": protect})

    @in_thread
    def store_group_detail(self, bps_id: str, detail: GroupDetail | None, *, now: datetime) -> None:
        """Take over one group with its members; None: the portal has no such group (any more)."""
        self.store_group_details.blocking([(bps_id, detail)], now=now)

    @in_thread
    def store_group_details(self, details: Sequence[tuple[str, GroupDetail | None]], *, now: datetime) -> None:
        """Take over groups with their members and owners, in one transaction."""
        with self._database.transaction() as connection:
            groups = intern_bps_ids(connection, [bps_id for bps_id, _ in details])
            unshown = set(connection.scalars(select_unshown("group"), {"since": now - _SHOWN_WITHIN}))
            details = [(bps_id, detail) for bps_id, detail in details if detail or groups[fold(bps_id)] not in unshown]
            keys = {groups[fold(bps_id)] for bps_id, _ in details}
            named = [each.bps_id for _, detail in details if detail for each in (*detail.members, *detail.owners)]
            people = intern_bps_ids(connection, named, spelling=True)
            gone = {groups[fold(bps_id)] for bps_id, detail in details if detail is None}
            for kind in LINKS:
                there = {(row[0], row[1]) for row in connection.execute(SELECT_LINKS[kind], {"groups": keys})}
                wanted = {
                    (groups[fold(bps_id)], people[fold(each.bps_id)])
                    for bps_id, detail in details
                    if detail
                    for each in (detail.members if kind == "membership" else detail.owners)
                }
                lost = {pair for pair in there - wanted if pair[0] not in gone}
                ours = note_links(connection, kind, came=wanted - there, went=lost, now=now)
                end_links(connection, kind, there - wanted - lost, Turn.GROUP_GONE.value, now=now)
                for turn, pairs in _sort_lost(connection, lost, ours).items():
                    end_links(connection, kind, pairs, turn.value, now=now)
                for turn, pairs in _sort_found(wanted - there, ours).items():
                    begin_links(connection, kind, pairs, turn.value, now=now)
            if gone:
                note_vanished(connection, "group", select_chosen("group"), {"keys": gone}, now=now)
                for statement in DELETE_GROUPS:
                    connection.execute(statement, {"keys": gone})
                note_records(connection, "group", gone, Turn.GONE.value, now=now)
            shown = {groups[fold(bps_id)]: detail.group for bps_id, detail in details if detail}
            _take_over(connection, target_groups, "group", shown)

    @in_thread
    def finish_reading(self) -> None:
        """Remember that the portal was read completely."""
        with self._database.transaction() as connection:
            save_marker(connection, INVENTORY_READ, "yes")
            connection.execute(FORGET_SEEN)

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
            if key in set(connection.scalars(select_unshown("user"), {"since": now - _SHOWN_WITHIN})):
                return
            note_vanished(connection, "user", select_chosen("user"), {"keys": [key]}, now=now)
            forget_record(connection, "user", key, deleted=False, now=now)

    @in_thread
    def set_synchronized(self, bps_ids: Collection[str]) -> None:
        """Remember that these records are ready."""
        with self._database.transaction() as connection:
            folds = {"folds": {fold(bps_id) for bps_id in bps_ids}}
            for statement in SET_SYNCHRONIZED:
                connection.execute(statement, folds)

    def count_owned(self, enough: Mapping[ObjectKind, int]) -> dict[ObjectKind, int]:
        """Return how many users, groups, memberships, ownerships, licences and privileges of the target are ours.

        ``enough``: the objects to count, and the number at which counting one of them ends, since more make no
        difference.
        """
        wanted = {kind: number for kind, number in enough.items() if kind in COUNT_OWNED}
        return {
            kind: self._database.load_value(COUNT_OWNED[kind], {"enough": number}) for kind, number in wanted.items()
        }


def _take_over(
    connection: Connection, table: Table, kind: RecordKind, shown: Mapping[int, Account | PortalGroup]
) -> Counter[str]:
    """Store the fields of records as they are shown, or as we wrote what is only spelled otherwise; return what is."""
    fields = OWN_FIELDS[kind]
    fresh = {key: (record.status, *(getattr(record, name) for name in fields)) for key, record in shown.items()}
    there = {row[0]: tuple(row)[1:] for row in connection.execute(select_stored(kind), {"keys": fresh})}
    settled = take_as_written(connection, kind, fresh, there)
    rows = [
        {"key": key, "status": values[0], **dict(zip(fields, values[1:], strict=True))}
        for key, values in sorted(fresh.items())
        if there.get(key) != values
    ]
    upsert(connection, table, rows)
    return settled


def _sort_found(came: Collection[Pair], ours: LinksOfOurs) -> dict[Turn, list[Pair]]:
    """Return members that a reading met anew, by how they came: what our own writes explain was not done by hand."""
    found: dict[Turn, list[Pair]] = {}
    for pair in came:
        turn = Turn.FOUND if pair[0] not in ours.groups else Turn.SETTLED if pair in ours.unsettled else Turn.BY_HAND
        found.setdefault(turn, []).append(pair)
    return found


def _sort_lost(connection: Connection, lost: Collection[Pair], ours: LinksOfOurs) -> dict[Turn, list[Pair]]:
    """Return members that a reading lacks, by how they went: with their account, by our own write, or by hand."""
    found: dict[Turn, list[Pair]] = {}
    if not lost:
        return found
    there = set(connection.scalars(SELECT_ACCOUNTS, {"keys": {member for _, member in lost}}))
    for pair in lost:
        turn = Turn.ACCOUNT_GONE if pair[1] not in there else Turn.SETTLED if pair in ours.unsettled else Turn.BY_HAND
        found.setdefault(turn, []).append(pair)
    return found
