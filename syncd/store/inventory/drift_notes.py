"""Noting what somebody else did to the target, within the transactions that read it or write our own outcomes.

A reading of the portal that differs from what we know is somebody else's doing, unless we wrote there so lately that
the portal need not show it yet, or do not know how our own last write ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, delete, exists, select, update

from syncd.model.change import LinkKind
from syncd.model.kinds import RecordKind
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import decode_json, delete_pairs, encode_json, upsert
from syncd.store.schema.tables import (
    changes,
    hand_members,
    hand_owners,
    runs,
    target_groups,
    target_users,
    vanished_records,
)

Pair = tuple[int, int]
_TABLES: Mapping[RecordKind, Table] = {"user": target_users, "group": target_groups}
HAND_LINKS: Mapping[LinkKind, Table] = {"membership": hand_members, "ownership": hand_owners}
_SHOWN_WITHIN = timedelta(hours=1)
"""So long the portal may take to show what we wrote; it speaks of seconds."""
_UNCERTAIN = ("planned", "started", "failed")


@dataclass(frozen=True, slots=True)
class LinksOfOurs:
    """What is ours of memberships that a reading showed otherwise: the groups, and what our own writes may explain."""

    groups: frozenset[int] = frozenset()
    unsettled: frozenset[Pair] = frozenset()


def note_links(
    connection: Connection, kind: LinkKind, *, came: set[Pair], went: set[Pair], now: datetime
) -> LinksOfOurs:
    """A reading met members or owners that we did not know, or lacked some that we did: note what others did."""
    met = came | went
    if not met:
        return LinksOfOurs()
    table = HAND_LINKS[kind]
    ours = set(connection.scalars(_SELECT_OWNED, {"keys": {group for group, _ in met}}))
    met = {pair for pair in met if pair[0] in ours}
    if not met:
        return LinksOfOurs()
    members = {member for _, member in met}
    there = set(connection.scalars(_SELECT_ACCOUNTS, {"keys": members}))
    known_rows = connection.execute(_SELECT_NOTED[kind], {"groups": ours, "members": members})
    known = {(row[0], row[1]) for row in known_rows}
    delete_pairs(connection, table, met & known)  # it is as it was before somebody changed it
    fresh = {pair for pair in met - known if pair in came or pair[1] in there}
    unsettled = _load_unsettled(connection, kind, fresh, now)
    fresh -= unsettled
    noted = {"accepted": False, "seen_at": now}
    rows = [{"group_key": pair[0], "member_key": pair[1], "added": pair in came, **noted} for pair in sorted(fresh)]
    upsert(connection, table, rows)
    return LinksOfOurs(frozenset(ours), frozenset(unsettled))


def _load_unsettled(connection: Connection, kind: LinkKind, pairs: set[Pair], now: datetime) -> set[Pair]:
    """Return pairs of which our own last write may not show yet, or may have ended otherwise than we know."""
    if not pairs:
        return set()
    asked = {"kind": kind, "members": {member for _, member in pairs}, "groups": {group for group, _ in pairs}}
    last: dict[Pair, tuple[str, datetime | None]] = {}
    for group, member, status, finished_at in connection.execute(_SELECT_OUR_WRITES, asked):
        if (group, member) in pairs and status not in ("dropped", "held", "deferred"):
            last[group, member] = status, finished_at
    return {
        pair
        for pair, (status, finished_at) in last.items()
        if status in _UNCERTAIN or (finished_at is not None and finished_at > now - _SHOWN_WITHIN)
    }


def forget_links(connection: Connection, kind: LinkKind, pairs: Collection[Pair]) -> None:
    """These were written by us: what somebody did to them before is history."""
    if pairs and is_any_by_hand(connection, kind):
        delete_pairs(connection, HAND_LINKS[kind], pairs)


def is_any_by_hand(connection: Connection, kind: LinkKind) -> bool:
    """Return whether somebody has changed any link of this kind by hand."""
    return bool(connection.scalar(_IS_ANY[kind]))


def forget_links_of(connection: Connection, kind: RecordKind, keys: Collection[int]) -> None:
    """These records are gone, and with them what was done by hand to their memberships and ownerships."""
    if keys:
        for statement in _FORGET_LINKS_OF[kind]:
            connection.execute(statement, {"keys": keys})


def note_vanished(
    connection: Connection, kind: RecordKind, vanishing: Select[Any], parameters: Mapping[str, Any], *, now: datetime
) -> None:
    """Records leave the inventory: remember those that somebody else removed. Call it before they do.

    ``vanishing``: a statement for them, made by `select_vanishing`. A record that the portal never showed as ready was
    lost on the way, and one that we may have deleted ourselves was not removed by hand either.
    """
    rows = {row.key: row for row in connection.execute(vanishing, parameters)}
    if not rows:
        return
    deletions = connection.execute(_SELECT_DELETIONS, {"kind": kind, "keys": rows})
    last = {row.record_key: row.status for row in deletions}
    upsert(
        connection,
        vanished_records,
        [
            {
                "key": key,
                "object": kind,
                "source_key": row.source_key,
                "fields": row.written or "{}",
                "accepted": False,
                "seen_at": now,
            }
            for key, row in sorted(rows.items())
            if last.get(key) not in _UNCERTAIN
        ],
    )
    forget_links_of(connection, kind, rows)


def forget_vanished(connection: Connection, keys: Collection[int]) -> None:
    """These records are there again."""
    if keys:
        connection.execute(_FORGET_VANISHED, {"keys": keys})


def forget_accepted(connection: Connection, kind: RecordKind, written: Mapping[int, Collection[str]]) -> None:
    """These fields were written by us: values that somebody else had put there are history."""
    for key, accepted in connection.execute(_SELECT_ACCEPTED[kind], {"keys": written}).all():
        left = {name: value for name, value in decode_json(accepted).items() if name not in written[key]}
        connection.execute(_SET_ACCEPTED[kind], {"row_key": key, "accepted": encode_json(left) if left else None})


# ---- statements -----------------------------------------------------------------------------------------------------


def select_vanishing(kind: RecordKind, gone: ColumnElement[bool]) -> Select[Any]:
    """Return a statement for `note_vanished`: the records of ours that meet ``gone``."""
    table = _TABLES[kind]
    return select(table.c.key, table.c.source_key, table.c.written).where(
        gone, table.c.origin.is_not(None), table.c.status == "Synchronized"
    )


_SELECT_OWNED = select(target_groups.c.key).where(
    target_groups.c.origin.is_not(None), among_bound(target_groups.c.key, "keys")
)
_SELECT_ACCOUNTS = select(target_users.c.key).where(among_bound(target_users.c.key, "keys"))
_SELECT_NOTED = {
    kind: select(table.c.group_key, table.c.member_key).where(
        among_bound(table.c.group_key, "groups"), among_bound(table.c.member_key, "members")
    )
    for kind, table in HAND_LINKS.items()
}
_SELECT_OUR_WRITES = (
    select(changes.c.record_key, changes.c.target_key, changes.c.status, changes.c.finished_at)
    .join(runs, runs.c.id == changes.c.run_id)
    .where(
        changes.c.object == bindparam("kind"),
        runs.c.kind != "plan",
        among_bound(changes.c.target_key, "members"),
        among_bound(changes.c.record_key, "groups"),
    )
    .order_by(changes.c.run_id, changes.c.seq)
)
_IS_ANY = {kind: select(exists().where(table.c.group_key.is_not(None))) for kind, table in HAND_LINKS.items()}
_FORGET_LINKS_OF = {
    kind: tuple(
        delete(table).where(among_bound(table.c.member_key if kind == "user" else table.c.group_key, "keys"))
        for table in HAND_LINKS.values()
    )
    for kind in _TABLES
}
_SELECT_DELETIONS = (
    select(changes.c.record_key, changes.c.status)
    .join(runs, runs.c.id == changes.c.run_id)
    .where(
        changes.c.object == bindparam("kind"),
        changes.c.action == "delete",
        runs.c.kind != "plan",
        among_bound(changes.c.record_key, "keys"),
    )
    .order_by(changes.c.run_id)
)
_FORGET_VANISHED = delete(vanished_records).where(among_bound(vanished_records.c.key, "keys"))
_SELECT_ACCEPTED = {
    kind: select(table.c.key, table.c.accepted).where(table.c.accepted.is_not(None), among_bound(table.c.key, "keys"))
    for kind, table in _TABLES.items()
}
_SET_ACCEPTED = {kind: update(table).where(table.c.key == bindparam("row_key")) for kind, table in _TABLES.items()}
