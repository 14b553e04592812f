"""What was changed by hand in the target: fields, memberships and records, for the planner and for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Select, Table, bindparam, delete, exists, func, or_, select, true, update

from syncd.model.change import LinkKind
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.target import ACCOUNT_FIELDS, GROUP_FIELDS
from syncd.plan.diff import Current
from syncd.plan.drift import LINK_FIELDS, RECORD, Drift, Ours, Vanished, find_drift
from syncd.store.db.database import reading
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, delete_pairs, encode_json
from syncd.store.inventory.drift_notes import HAND_LINKS
from syncd.store.schema.tables import (
    desired_groups,
    desired_users,
    source_objects,
    target_groups,
    target_principals,
    target_users,
    vanished_records,
)

Pair = tuple[int, int]
_TABLES: Mapping[RecordKind, tuple[Table, Table, tuple[str, ...]]] = {
    "user": (target_users, desired_users, ACCOUNT_FIELDS),
    "group": (target_groups, desired_groups, GROUP_FIELDS),
}
_AT_ONCE = 1000


class ByHand(StorePart):
    """Its methods are called in the store's thread, or by commands."""

    # ---- for the planner --------------------------------------------------------------------------------------------

    def has_hand_links(self) -> bool:
        """Return whether any membership or ownership was changed by hand."""
        return bool(self._database.load_value(_HAS_HAND_LINKS))

    def load_hand_links(
        self, kind: LinkKind, groups: Collection[int], members: Collection[int] | None
    ) -> dict[Pair, tuple[bool, bool]]:
        """Return (added, accepted) of what was changed by hand: in some groups, or of some members in any group."""
        of_groups, of_members = _SELECT_HAND_LINKS[kind]
        asked = (of_groups, {"keys": groups}) if members is None else (of_members, {"keys": members})
        return {(row.group_key, row.member_key): (row.added, row.accepted) for row in self._database.load_rows(*asked)}

    def load_groups_with_hand_links(self, kind: LinkKind) -> list[int]:
        """Return the groups of which a member (or owner) was put in or taken out by hand."""
        return self._database.load_values(_SELECT_HAND_GROUPS[kind])

    def forget_hand_links(self, kind: LinkKind, pairs: Collection[Pair]) -> None:
        """Source and target agree about these again."""
        if pairs:
            with self._database.transaction() as connection:
                delete_pairs(connection, HAND_LINKS[kind], pairs)

    def load_vanished(self) -> list[Vanished]:
        """Return the records of ours that were removed by hand and are not there again."""
        found: list[Vanished] = []
        noted = self._database.load_values(_SELECT_NOTED)
        for kind in RECORD_KINDS if noted else ():
            mapped = _find_mapped(kind)
            rows = self._database.load_rows(_select_vanished(kind), {"noted": noted})
            for row in sorted(rows, key=attrgetter("bps_fold")):
                wanted = {name: getattr(row, f"d_{name}") for name in mapped} if row.wanting is not None else None
                found.append(
                    Vanished(
                        key=row.key,
                        bps_id=row.bps_id,
                        fields=decode_json(row.fields),
                        accepted=row.accepted,
                        desired=wanted,
                    )
                )
        return found

    def forget_vanished(self, keys: Collection[int]) -> None:
        """The source does not want these removed records either: nothing is left to remember."""
        if keys:
            with self._database.transaction() as connection:
                connection.execute(_FORGET_VANISHED, {"keys": keys})

    def settle_fields(self, kind: RecordKind, settled: Mapping[int, Mapping[str, str | None]]) -> None:
        """Source and target agree about these fields again, whatever we wrote: take that for written."""
        with self._database.transaction() as connection:
            for key, written, accepted in connection.execute(_SELECT_WRITTEN[kind], {"keys": settled}).all():
                left = {name: value for name, value in decode_json(accepted).items() if name not in settled[key]}
                values = {
                    "written": encode_json({**decode_json(written), **settled[key]}),
                    "accepted": encode_json(left) if left else None,
                }
                connection.execute(_UPDATE[kind], {"row_key": key, **values})

    # ---- for people -------------------------------------------------------------------------------------------------

    def iterate_drift(self, scope: Ours) -> Iterator[list[Drift]]:
        """Yield what was changed by hand and not accepted: fields, then memberships, then removed records."""
        for kind in RECORD_KINDS:
            for found in self.iterate_field_drift(kind, scope):
                yield [drift for _, drift in found]
        for links in scope.links:
            yield from self._iterate_links(links)
        yield self.load_removed()

    def iterate_field_drift(self, kind: RecordKind, scope: Ours) -> Iterator[list[tuple[int, Drift]]]:
        """Yield what was changed of fields, each with the key of its record: those of one record side by side."""
        for rows in self._iterate_owned(kind):
            yield list(_find_fields(rows, kind, scope))

    def load_field_drift(self, kind: RecordKind, keys: Collection[int], scope: Ours) -> list[Drift]:
        """Return what was changed of the fields of some records, in the same order."""
        rows = self._database.load_rows(_select_chosen(kind), {"keys": keys})
        return [drift for _, drift in _find_fields(rows, kind, scope)]

    def count_link_drift(self, kind: LinkKind) -> int:
        """Return how many memberships or ownerships were changed."""
        return int(self._database.load_value(_count_links(kind)) or 0)

    def load_link_drift(self, kind: LinkKind, start: int, limit: int) -> list[Drift]:
        """Return so many of them from a place on."""
        asked = {"start": start, "most": limit}
        return [_make_link_drift(kind, row) for row in self._database.load_rows(_select_some_links(kind), asked)]

    def _iterate_owned(self, kind: RecordKind) -> Iterator[Sequence[Any]]:
        last = ""
        while rows := self._database.load_rows(_select_owned(kind), {"after": last}):
            yield rows
            last = rows[-1].bps_fold

    def _iterate_links(self, kind: LinkKind) -> Iterator[list[Drift]]:
        with reading(self._database) as connection:
            for rows in connection.execution_options(yield_per=_AT_ONCE).execute(_select_links(kind)).partitions():
                yield [_make_link_drift(kind, row) for row in rows]

    def load_removed(self) -> list[Drift]:
        """Return the records that were removed."""
        found: list[Drift] = []
        for kind in RECORD_KINDS:
            rows = {row.key: row for row in self._database.load_rows(_SELECT_REMOVED, {"kind": kind})}
            found += [
                Drift(
                    object=kind, bps_id=gone.bps_id, field=RECORD, ours=gone.bps_id, theirs=None,
                    source_key=rows[gone.key].source_key, source_id=rows[gone.key].source_id,
                    wanted=gone.desired is not None, fields=gone.fields,
                )
                for gone in self.load_vanished()
                if gone.key in rows and not gone.accepted
            ]  # fmt: skip
        return found

    @in_thread
    def accept_drift(self, scope: Ours) -> None:
        """Take everything that was changed by hand up to now as it is, until the source says something else."""
        for kind in RECORD_KINDS:
            for rows in self._iterate_owned(kind):
                values = []
                for row in rows:
                    drifts = find_drift(scope.fields[kind], _make_current(row, kind))
                    found = {name: theirs for name, _, theirs in drifts}
                    if found:
                        values.append((row.key, encode_json({**decode_json(row.accepted), **found})))
                if values:
                    with self._database.transaction() as connection:
                        for key, accepted in values:
                            connection.execute(_UPDATE[kind], {"row_key": key, "accepted": accepted})
        with self._database.transaction() as connection:
            for links in scope.links:
                connection.execute(_ACCEPT_LINKS[links])
            connection.execute(_ACCEPT_VANISHED)


def _find_fields(rows: Sequence[Any], kind: RecordKind, scope: Ours) -> Iterator[tuple[int, Drift]]:
    for row in rows:
        for name, ours, theirs in find_drift(scope.fields[kind], _make_current(row, kind)):
            yield (
                row.key,
                Drift(
                    object=kind, bps_id=row.bps_id, field=name, ours=ours, theirs=theirs,
                    source_key=row.source_key, source_id=row.source_id, wanted=row.wanting is not None,
                ),
            )  # fmt: skip


def _make_link_drift(kind: LinkKind, row: Any) -> Drift:
    wanted = row.group_wanted is not None and row.member_wanted is not None and row.member_there
    return Drift(
        object=kind,
        bps_id=row.group_id,
        field=LINK_FIELDS[kind],
        ours=None if row.added else row.member_id,
        theirs=row.member_id if row.added else None,
        source_key=row.source_key,
        source_id=row.source_id,
        wanted=row.added or wanted,
    )


def _make_current(row: Any, kind: RecordKind) -> Current:
    return Current(
        fields={name: getattr(row, name) for name in _TABLES[kind][2]},
        status=row.status,
        origin=row.origin,
        source_key=row.source_key,
        written=decode_json(row.written),
        leaving_at=row.leaving_at,
        accepted=decode_json(row.accepted),
    )


# ---- statements -----------------------------------------------------------------------------------------------------


def _find_mapped(kind: RecordKind) -> list[str]:
    _, desired, names = _TABLES[kind]
    return [name for name in names if name in desired.c]


@cache
def _select_vanished(kind: RecordKind) -> Select[Any]:
    table, desired, _ = _TABLES[kind]
    return (
        select(
            vanished_records, target_principals.c.bps_id, desired.c.key.label("wanting"),
            *(desired.c[name].label(f"d_{name}") for name in _find_mapped(kind)), target_principals.c.bps_fold,
        )
        .join(target_principals, target_principals.c.key == vanished_records.c.key)
        .outerjoin(desired, (desired.c.principal_key == vanished_records.c.key) & (desired.c.state == "wanted"))
        .where(
            vanished_records.c.object == kind,
            ~exists().where(table.c.key == vanished_records.c.key),
            among_bound(target_principals.c.key, "noted"),
        )
    )  # fmt: skip


@cache
def _select_owned(kind: RecordKind) -> Select[Any]:
    return _select_fields(kind).where(target_principals.c.bps_fold > bindparam("after")).limit(_AT_ONCE)


@cache
def _select_chosen(kind: RecordKind) -> Select[Any]:
    return _select_fields(kind).where(among_bound(_TABLES[kind][0].c.key, "keys"))


def _select_fields(kind: RecordKind) -> Select[Any]:
    table, desired, _ = _TABLES[kind]
    return (
        select(
            table, target_principals.c.bps_id, target_principals.c.bps_fold, source_objects.c.id.label("source_id"),
            desired.c.key.label("wanting"),
        )
        .join(target_principals, target_principals.c.key == table.c.key)
        .outerjoin(source_objects, source_objects.c.key == table.c.source_key)
        .outerjoin(desired, (desired.c.principal_key == table.c.key) & (desired.c.state == "wanted"))
        .where(table.c.origin.is_not(None))
        .order_by(target_principals.c.bps_fold)
    )  # fmt: skip


@cache
def _select_links(kind: LinkKind) -> Select[Any]:
    table = HAND_LINKS[kind]
    group, member = target_principals.alias("group_record"), target_principals.alias("member")
    wanted = desired_users.alias("wanted")
    return (
        select(
            table, group.c.bps_id.label("group_id"), member.c.bps_id.label("member_id"),
            target_groups.c.source_key, source_objects.c.id.label("source_id"),
            desired_groups.c.key.label("group_wanted"), wanted.c.key.label("member_wanted"),
            exists().where(target_users.c.key == table.c.member_key).label("member_there"),
        )
        .join(group, group.c.key == table.c.group_key)
        .join(member, member.c.key == table.c.member_key)
        .join(target_groups, target_groups.c.key == table.c.group_key)
        .outerjoin(source_objects, source_objects.c.key == target_groups.c.source_key)
        .outerjoin(
            desired_groups,
            (desired_groups.c.principal_key == table.c.group_key) & (desired_groups.c.state == "wanted"),
        )
        .outerjoin(
            wanted, (wanted.c.principal_key == table.c.member_key) & (wanted.c.state == "wanted")
        )
        .where(target_groups.c.origin.is_not(None), table.c.accepted.is_not(true()))
        .order_by(group.c.bps_fold, member.c.bps_fold)
    )  # fmt: skip


@cache
def _select_some_links(kind: LinkKind) -> Select[Any]:
    return _select_links(kind).offset(bindparam("start")).limit(bindparam("most"))


@cache
def _count_links(kind: LinkKind) -> Select[Any]:
    return select(func.count()).select_from(_select_links(kind).order_by(None).subquery())


_HAS_HAND_LINKS = select(or_(*(exists().where(table.c.group_key.is_not(None)) for table in HAND_LINKS.values())))
_SELECT_HAND_GROUPS = {kind: select(table.c.group_key).distinct() for kind, table in HAND_LINKS.items()}
_SELECT_HAND_LINKS = {
    kind: tuple(select(table).where(among_bound(column, "keys")) for column in (table.c.group_key, table.c.member_key))
    for kind, table in HAND_LINKS.items()
}
_ACCEPT_LINKS = {kind: update(table).values(accepted=True) for kind, table in HAND_LINKS.items()}
_SELECT_NOTED = select(vanished_records.c.key)
_SELECT_REMOVED = (
    select(vanished_records, source_objects.c.id.label("source_id"))
    .outerjoin(source_objects, source_objects.c.key == vanished_records.c.source_key)
    .where(vanished_records.c.object == bindparam("kind"))
)
_FORGET_VANISHED = delete(vanished_records).where(among_bound(vanished_records.c.key, "keys"))
_ACCEPT_VANISHED = update(vanished_records).values(accepted=True)
_SELECT_WRITTEN = {
    kind: select(table.c.key, table.c.written, table.c.accepted).where(among_bound(table.c.key, "keys"))
    for kind, (table, _, _) in _TABLES.items()
}
_UPDATE = {kind: update(table).where(table.c.key == bindparam("row_key")) for kind, (table, _, _) in _TABLES.items()}
