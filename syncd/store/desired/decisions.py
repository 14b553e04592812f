"""Desired state as stored: what the rules made of each source object, kept up to date for what was touched.

A chunk of decisions is one transaction, together with the touches that follow from it: which target records to compare
because somebody's claim, BPS id or manager changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from syncd.model.reason import Cause, Reason
from syncd.model.target import fold
from syncd.plan.desired import Desired, SourceGroup, SourceUser
from syncd.store.db.database import reading
from syncd.store.db.markers import SCOPE_GROUPS, load_marker, save_marker
from syncd.store.db.part import StorePart
from syncd.store.db.sql import among, chunked, decode_json, upsert
from syncd.store.decisions.approvals import forget_rejections
from syncd.store.inventory.bps_ids import intern_bps_ids
from syncd.store.runs.touched import touch_groups, touch_principals
from syncd.store.schema.tables import (
    desired_groups,
    desired_users,
    scope_members,
    source_groups,
    source_members,
    source_objects,
    source_users,
    target_groups,
    target_users,
    touched_groups,
    touched_principals,
    touched_users,
)

_CHUNK = 1000
_CLAIMS = ("wanted", "collision")
USER_COLUMNS = ("name", "email", "phone", "job_title")


class DesiredState(StorePart):
    """Reads source objects for the rules and writes the decisions."""

    # ---- scope ------------------------------------------------------------------------------------------------------

    def find_groups(self, reference: str) -> list[tuple[int, str]]:
        """Return (key, id) of the active groups that an id or a name refers to; an exact id wins over names."""
        base = (
            select(source_groups.c.key, source_objects.c.id)
            .join(source_objects, source_objects.c.key == source_groups.c.key)
            .where(source_groups.c.state == "active")
        )
        with reading(self._database) as connection:
            by_id = connection.execute(base.where(source_objects.c.id == reference.strip().lower())).all()
            found = (
                by_id
                or connection.execute(base.where(source_groups.c.name == reference).order_by(source_objects.c.id)).all()
            )
        return [(row[0], row[1]) for row in found]

    def load_edges(self) -> list[tuple[int, int]]:
        """Return (group, child group) for every pair of active groups of which one is a member of the other."""
        child = source_groups.alias("child")
        parent = source_groups.alias("parent")
        statement = (
            select(source_members.c.group_key, source_members.c.member_key)
            .select_from(child)
            .join(source_members, source_members.c.member_key == child.c.key)
            .join(parent, parent.c.key == source_members.c.group_key)
            .where(child.c.state == "active", parent.c.state == "active")
        )
        with reading(self._database) as connection:
            return [(row[0], row[1]) for row in connection.execute(statement)]

    def follow_scope_groups(self, resolved: str, *, touch: bool) -> None:
        """Remember which groups the scope means; ``touch``: look at everybody when they are others than before.

        A name in the configuration can move to another group without any change to the people of either.
        """
        with self._database.transaction() as connection:
            if (load_marker(connection, SCOPE_GROUPS) or "") == resolved:
                return
            save_marker(connection, SCOPE_GROUPS, resolved or None)
            if touch:
                rest = select(source_users.c.key).where(source_users.c.key.not_in(select(touched_users.c.key)))
                connection.execute(insert(touched_users).from_select(["key"], rest))

    def store_scope(self, role: str, below: Collection[int], *, touched_only: bool) -> None:
        """Remember which users lie in these groups (a closed set of source keys): all users, or the touched ones."""
        fresh = (
            select(source_members.c.member_key)
            .join(source_users, source_users.c.key == source_members.c.member_key)
            .distinct()
        )
        old = delete(scope_members).where(scope_members.c.role == role)
        with self._database.transaction() as connection:
            fresh = fresh.where(among(source_members.c.group_key, below, connection))
            if touched_only:
                touched = select(touched_users.c.key)
                fresh = fresh.where(source_members.c.member_key.in_(touched))
                old = old.where(scope_members.c.key.in_(touched))
            connection.execute(old)
            rows = fresh.add_columns(literal(role)).subquery()
            connection.execute(insert(scope_members).from_select(["key", "role"], select(rows.c[0], rows.c[1])))

    # ---- users ------------------------------------------------------------------------------------------------------

    def iterate_users(self, *, touched_only: bool, grouped: tuple[bool, bool]) -> Iterator[list[SourceUser]]:
        """Yield all or all touched source users in chunks. ``grouped``: whether include and exclude groups are set."""
        included, excluded = grouped
        columns = [
            source_users.c.key,
            source_users.c.state,
            source_users.c.attributes,
            source_users.c.manager_key,
            source_objects.c.id,
            _is_in_scope("include").label("included"),
            _is_in_scope("exclude").label("excluded"),
        ]
        statement = select(*columns).join(source_objects, source_objects.c.key == source_users.c.key)
        for rows in self._chunks(statement, source_users, touched_users if touched_only else None):
            yield [
                SourceUser(
                    key=row[0],
                    state=row[1],
                    attributes={**decode_json(row[2]), "id": row[4]},
                    manager_key=row[3],
                    in_groups=(not included or row[5] is not None) and not (excluded and row[6] is not None),
                )
                for row in rows
            ]

    def iterate_source_groups(self, *, touched_only: bool) -> Iterator[list[SourceGroup]]:
        """Yield all or all touched source groups in chunks."""
        statement = select(
            source_groups.c.key, source_groups.c.state, source_groups.c.attributes, source_objects.c.id
        ).join(source_objects, source_objects.c.key == source_groups.c.key)
        for rows in self._chunks(statement, source_groups, touched_groups if touched_only else None):
            yield [SourceGroup(row[0], row[1], {**decode_json(row[2]), "id": row[3]}) for row in rows]

    def _chunks(self, statement: Select[Any], table: Table, touched: Table | None) -> Iterator[Sequence[Any]]:
        """Yield chunks of a statement, whose first column is the key, in the order of keys; ``touched``: only these."""
        if touched is not None:
            with reading(self._database) as connection:
                keys = list(connection.scalars(select(touched.c.key).order_by(touched.c.key)))
            for some in chunked(keys, _CHUNK):
                with reading(self._database) as connection:
                    rows = connection.execute(statement.where(among(table.c.key, some, connection))).all()
                if rows:
                    yield sorted(rows, key=itemgetter(0))
            return
        last = -1
        while True:
            page = statement.where(table.c.key > last).order_by(table.c.key).limit(_CHUNK)
            with reading(self._database) as connection:
                rows = connection.execute(page).all()
            if not rows:
                return
            yield rows
            last = rows[-1][0]

    def store_users(self, decisions: Sequence[Desired], *, touch: bool) -> int:
        """Write decisions about users where they differ; ``touch`` marks the target records to compare therefore."""
        by_key = {decision.key: decision for decision in decisions}
        with self._database.transaction() as connection:
            principals = intern_bps_ids(connection, [d.bps_id for d in decisions if d.bps_id])
            old = {
                row[0]: row
                for row in connection.execute(
                    select(desired_users).where(among(desired_users.c.key, by_key.keys(), connection))
                )
            }
            rows = []
            for decision in decisions:
                before = old.get(decision.key)
                principal = principals[fold(decision.bps_id)] if decision.bps_id else None
                state = decision.state
                if state == "wanted" and before is not None and before.state == "collision":
                    state = "collision" if before.principal_key == principal else "wanted"
                fields = tuple(decision.fields.get(name) for name in USER_COLUMNS)
                reason = decision.reason
                if before is not None and state == "collision":
                    reason = Reason(Cause(before.cause), before.reason)
                said = reason.cause.value, reason.text
                row = (decision.key, state, *said, principal, *fields, decision.manager_key)
                if before is None or tuple(before) != row:
                    rows.append(row)
            names = [column.name for column in desired_users.c]
            upsert(connection, desired_users, [dict(zip(names, row, strict=True)) for row in rows])
            changed = [int(row[0] or 0) for row in rows if row[0] in old and tuple(old[row[0]])[1:3] != row[1:3]]
            if changed:
                forget_rejections(connection, changed)
            if touch:
                self._touch_followers(connection, by_key, rows, old)
        return len(rows)

    def _touch_followers(
        self,
        connection: Connection,
        by_key: Mapping[int, Desired],
        rows: Sequence[tuple[Any, ...]],
        old: Mapping[int, Any],
    ) -> None:
        keys = {old[key].principal_key for key in by_key if key in old}
        keys.update(
            connection.scalars(
                select(desired_users.c.principal_key).where(among(desired_users.c.key, by_key.keys(), connection))
            )
        )
        keys.update(
            connection.scalars(
                select(target_users.c.key).where(among(target_users.c.source_key, by_key.keys(), connection))
            )
        )
        # Whoever reports to somebody whose account changed its name, or came or went, names another manager now.
        moved = {
            row[0]
            for row in rows
            if row[0] not in old or (old[row[0]].principal_key, old[row[0]].state) != (row[4], row[1])
        }
        if moved:
            keys.update(
                connection.scalars(
                    select(desired_users.c.principal_key).where(among(desired_users.c.manager_key, moved, connection))
                )
            )
        touch_principals(connection, {key for key in keys if key is not None})

    # ---- collisions -------------------------------------------------------------------------------------------------

    def load_collisions(self, *, touched_only: bool) -> list[tuple[int, list[tuple[int, bool]]]]:
        """Return (principal, [(source key, holds the record)]) where several people claim one BPS id, or did before."""
        crowded = (
            select(desired_users.c.principal_key)
            .where(desired_users.c.state.in_(_CLAIMS))
            .group_by(desired_users.c.principal_key)
            .having(or_(func.count() > 1, func.max(desired_users.c.state) != func.min(desired_users.c.state)))
        )
        lonely = select(desired_users.c.principal_key).where(desired_users.c.state == "collision")
        if touched_only:
            touched = desired_users.c.principal_key.in_(select(touched_principals.c.key))
            crowded, lonely = crowded.where(touched), lonely.where(touched)
        statement = (
            select(
                desired_users.c.principal_key,
                desired_users.c.key,
                and_(target_users.c.origin.is_not(None), target_users.c.source_key == desired_users.c.key),
            )
            .outerjoin(target_users, target_users.c.key == desired_users.c.principal_key)
            .where(
                desired_users.c.state.in_(_CLAIMS),
                or_(desired_users.c.principal_key.in_(crowded), desired_users.c.principal_key.in_(lonely)),
            )
            .order_by(desired_users.c.principal_key, desired_users.c.key)
        )
        found: dict[int, list[tuple[int, bool]]] = {}
        with reading(self._database) as connection:
            for principal, key, holds in connection.execute(statement):
                found.setdefault(principal, []).append((key, bool(holds)))
        return sorted(found.items())

    def store_collision(self, principal: int, winner: int | None, *, reason: Reason) -> None:
        """Mark the claimants of one BPS id: the winner is wanted, the others collide."""
        same = desired_users.c.principal_key == principal
        with self._database.transaction() as connection:
            connection.execute(
                update(desired_users)
                .where(same, desired_users.c.state.in_(_CLAIMS))
                .values(state="collision", cause=reason.cause.value, reason=reason.text)
            )
            if winner is not None:
                connection.execute(
                    update(desired_users)
                    .where(desired_users.c.key == winner)
                    .values(state="wanted", cause="", reason="")
                )
            touch_principals(connection, {principal})

    # ---- groups -----------------------------------------------------------------------------------------------------

    def store_groups(self, decisions: Sequence[Desired], *, touch: bool) -> int:
        """Write decisions about groups where they differ; a group that comes, goes or moves is compared as a whole."""
        keys = [decision.key for decision in decisions]
        with self._database.transaction() as connection:
            principals = intern_bps_ids(connection, [d.bps_id for d in decisions if d.bps_id])
            old = {
                row[0]: row
                for row in connection.execute(
                    select(desired_groups).where(among(desired_groups.c.key, keys, connection))
                )
            }
            rows, moved = [], set()
            for decision in decisions:
                before = old.get(decision.key)
                principal = principals[fold(decision.bps_id)] if decision.bps_id else None
                row = (
                    decision.key,
                    decision.state,
                    decision.reason.cause.value,
                    decision.reason.text,
                    principal,
                    decision.fields.get("name"),
                    decision.fields.get("email"),
                )
                if before is None or tuple(before) != row:
                    rows.append(row)
                if before is None or (before.state, before.principal_key) != (decision.state, principal):
                    moved.add(decision.key)
            names = [column.name for column in desired_groups.c]
            upsert(connection, desired_groups, [dict(zip(names, row, strict=True)) for row in rows])
            if touch:
                touch_groups(connection, moved, whole=True)
        return len(rows)

    def touch_collided_groups(self) -> None:
        """Have the rules decide again about the groups that lost a collision."""
        with self._database.transaction() as connection:
            lost = select(desired_groups.c.key).where(
                desired_groups.c.state == literal_column("'skipped'"),  # as the index says it
                desired_groups.c.cause == Cause.GROUP_COLLISION.value,
            )
            touch_groups(connection, connection.scalars(lost).all(), whole=False)

    def resolve_group_collisions(self, *, reason: Reason, touched_only: bool) -> int:
        """Of groups that map to one BPS id, the one whose record it is stays, the others are skipped.

        ``touched_only``: among those that a touched group wants; nobody else can have begun to collide.
        """
        crowded = (
            select(desired_groups.c.principal_key)
            .where(desired_groups.c.state == "wanted")
            .group_by(desired_groups.c.principal_key)
            .having(func.count() > 1)
        )
        holder = (
            select(target_groups.c.source_key)
            .where(target_groups.c.key == desired_groups.c.principal_key, target_groups.c.origin.is_not(None))
            .scalar_subquery()
        )
        with self._database.transaction() as connection:
            if touched_only:
                wanted = select(desired_groups.c.principal_key).where(desired_groups.c.principal_key.is_not(None))
                touched = list(connection.scalars(select(touched_groups.c.key)))
                claimed = set(connection.scalars(wanted.where(among(desired_groups.c.key, touched, connection))))
                crowded = crowded.where(among(desired_groups.c.principal_key, claimed, connection))
            losers = connection.scalars(
                select(desired_groups.c.key).where(
                    desired_groups.c.state == "wanted",
                    desired_groups.c.principal_key.in_(crowded),
                    func.coalesce(holder, -1) != desired_groups.c.key,
                )
            ).all()
            if losers:
                connection.execute(
                    update(desired_groups)
                    .where(among(desired_groups.c.key, losers, connection))
                    .values(state="skipped", cause=reason.cause.value, reason=reason.text)
                )
        return len(losers)


def _is_in_scope(role: str) -> Any:
    return (
        select(scope_members.c.key)
        .where(scope_members.c.role == role, scope_members.c.key == source_users.c.key)
        .scalar_subquery()
    )
